/**
 * The gated-linear engine: chunks of 64 tokens by matrix products, or token by token.
 *
 * @module
 */
import {
  JoinSegmentParams,
  LinearParams,
  StabilizerParams,
  TimeStepParams,
  TrapezoidParams,
} from '../../generated/gpu-params.ts';
import { type Fields, gpuKernel, groupsOf, type Pass, type PlanCall, roundUp } from '../kernel.ts';
import { alignedRows } from './aligned.ts';
import { CHUNK, chunksAtOnce, READ, TILE, WRITE } from './linear-chunks.ts';

type Linear = Fields<typeof LinearParams>;

/** Sequences of no more tokens go token by token. */
const FEW_TOKENS = 16;
/** Columns of a group that goes token by token, and its threads that share a column. */
const STRIP = 16;
const LANES = 16;
/** Most rows of a thread that it keeps in registers. */
const MOST_ROWS = 16;
/** Angles that a group of Mamba-3's rows has room for. */
const MOST_ANGLES = 256;
/** Heads of a group of the stabilizer. */
const HEADS = 16;

/** How an operand of any type may be read. */
const wideQ = (p: Linear) => p.qType === 0 && alignedRows(p.q, p.qStrideB, p.qStrideT, p.qStrideH, p.dk);
const wideK = (p: Linear) => p.kType === 0 && alignedRows(p.k, p.kStrideB, p.kStrideT, p.kStrideH, p.dk);
const wideV = (p: Linear) => p.vType === 0 && alignedRows(p.v, p.vStrideB, p.vStrideT, p.vStrideH, p.dv);
const wideG = (p: Linear) => p.gateKind !== 2 || alignedRows(p.g, p.gStrideB, p.gStrideT, p.gStrideH, p.dk);

/** Token by token: sums of keys may be updated in place, and all groups of a head read them first. */
function recurrent(p: Linear, call: PlanCall): Pass[] {
  const strips = groupsOf(p.dv, STRIP);
  const groups = p.sequenceCount * p.heads * strips;
  const count = groups * p.dk;
  const zFrom = p.normalizer ? call.scratch(count * 4) : 0;
  const rows = 2 ** Math.ceil(Math.log2(Math.max(1, groupsOf(p.dk, LANES))));
  const inMemory = rows > MOST_ROWS;
  const step: Pass = {
    shader: 'linear-recurrent',
    constants: { ROWS: inMemory ? 1 : rows, IN_MEMORY: inMemory },
    groups,
    extra: { strips, zFrom },
  };
  if (!p.normalizer) return [step];
  const copy: Pass = { shader: 'linear-key-sums', groups: groupsOf(count, 256), extra: { strips, zFrom, count } };
  return [copy, step];
}

/**
 * Chunks of 64 tokens: what each is made of, what it adds to the state, the states that they begin with, outputs. As many chunks at once
 * as the scratch holds.
 */
function chunked(p: Linear, call: PlanCall): Pass[] {
  const { dk, dv, heads, sequenceCount, length } = p;
  const reads = (p.mode & READ) !== 0;
  const writes = (p.mode & WRITE) !== 0;
  const kp = roundUp(dk, 16);
  const vp = roundUp(dv, 4);
  const perSequence = groupsOf(length, CHUNK);
  const slots = p.sequences ? Math.floor(length / CHUNK) + sequenceCount : perSequence * sequenceCount;
  const stateBytes = 4 * (kp * vp + (p.normalizer ? kp : 0));
  const leftBytes = reads ? 4 * CHUNK * (CHUNK + kp) : 0;
  const keyBytes = writes ? 4 * CHUNK * kp : 0;
  const bytes = heads * (leftBytes + keyBytes + (writes ? stateBytes + 4 * kp : 0));
  const atOnce = chunksAtOnce(call, slots, bytes);
  const left = call.scratch(atOnce * heads * leftBytes);
  const keys = call.scratch(atOnce * heads * keyBytes);
  const decays = call.scratch(writes ? atOnce * heads * 4 * kp : 0);
  const states = call.scratch((writes ? atOnce : sequenceCount) * heads * stateBytes);

  const rowGates = p.gateKind === 2 || p.gateLinear !== 0;
  const wideStates =
    alignedRows(p.stateOut, p.stateStrideN, p.stateStrideH, p.stateStrideK, dv) &&
    p.stateStrideV === 1 &&
    (!p.stateIn || (alignedRows(p.stateIn, p.inStrideN, p.inStrideH, p.inStrideK) && p.inStrideV === 1)) &&
    (!p.normalizer || (alignedRows(p.zIn, dk) && alignedRows(p.zOut))) &&
    (!p.decayOut || alignedRows(p.decayOut, dk));
  const bonus = p.bonus !== 0 || p.bonusScalar !== 0;
  const readsKeys = writes && bonus;
  const readsQueries = readsKeys || p.normalizer === 4;
  const wideRows =
    wideV(p) &&
    (!readsQueries || wideQ(p)) &&
    (!readsKeys || ((p.tied ? wideG(p) : wideK(p)) && (!p.bonus || alignedRows(p.bonus, p.bonusStrideH))));
  const wideO = alignedRows(p.o, p.oStrideB, p.oStrideT, p.oStrideH, dv);

  const parts = (slot: number, count: number): Pass[] => {
    const chunks = count * heads;
    const blocks = groupsOf((kp * vp) / 4 + (p.normalizer ? kp / 4 : 0) + (p.decayOut ? kp / 4 : 0), 64);
    const shared = { slot, perSequence, kp };
    const prepare: Pass = {
      shader: rowGates ? 'linear-prepare-rows' : 'linear-prepare',
      constants: { WIDE: (!reads || wideQ(p)) && (!writes || p.tied !== 0 || wideK(p)) && wideG(p) },
      groups: chunks,
      extra: { ...shared, left, keys, decays },
      memory: 'wide',
    };
    const add: Pass = {
      shader: 'linear-states',
      constants: { WIDE: wideV(p) },
      groups: writes ? chunks * groupsOf(kp, TILE) * groupsOf(vp, TILE) : 0,
      extra: { ...shared, vp, stateBytes, keys, states },
      memory: 'wide',
    };
    const scan: Pass = {
      shader: wideStates ? 'linear-scan-wide' : 'linear-scan-words',
      groups: sequenceCount * heads * blocks,
      extra: { ...shared, slots: count, vp, stateBytes, states, decays, blocks },
      memory: wideStates ? 'wide' : 'words',
    };
    const write: Pass = {
      shader: wideO ? 'linear-outputs-wide' : 'linear-outputs-words',
      constants: { WIDE: wideRows },
      groups: reads ? chunks * groupsOf(vp, TILE) : 0,
      extra: { ...shared, vp, stateBytes, left, states },
      memory: wideO ? 'wide' : 'words',
    };
    return [prepare, add, scan, write];
  };
  const passes = parts(0, Math.min(atOnce, slots));
  for (let slot = atOnce; slot < slots; slot += atOnce) passes.push(...parts(slot, Math.min(atOnce, slots - slot)));
  return passes;
}

export const linear = {
  linear: gpuKernel(LinearParams, (p, call) => {
    if (p.gateEvery > 1) return call.refuse(`a gate for every ${p.gateEvery} tokens`);
    const few = p.length <= FEW_TOKENS && p.mode !== READ;
    return p.gv || few ? recurrent(p, call) : chunked(p, call);
  }),
  linearStep: gpuKernel(LinearParams, recurrent),
  joinSegment: gpuKernel(JoinSegmentParams, (p, { items }) => {
    const count = items * p.dv;
    return [{ shader: 'join-segment', groups: groupsOf(count, 256), extra: { count } }];
  }),
  stabilize: gpuKernel(StabilizerParams, (p, { items }) => [
    { shader: 'stabilize', groups: (items / p.heads) * groupsOf(p.heads, HEADS) },
  ]),
  trapezoid: gpuKernel(TrapezoidParams, (p, call) => {
    if (p.angleCount > MOST_ANGLES) return call.refuse(`more than ${MOST_ANGLES} angles of a key`);
    const turns = groupsOf(p.angleCount, STRIP);
    const blocks = groupsOf(p.length, CHUNK);
    return [
      { shader: 'trapezoid-turns', groups: call.items * turns, extra: { blocks: turns } },
      { shader: 'trapezoid-rows', groups: call.items * blocks, extra: { blocks } },
      { shader: 'trapezoid-weights', groups: call.items },
    ];
  }),
  timeStep: gpuKernel(TimeStepParams, (p, { items }) => {
    const count = items * p.heads;
    return [{ shader: 'time-step', groups: groupsOf(count, 256), extra: { count } }];
  }),
};
