/**
 * Delta rules, and what prepares their operands.
 *
 * @module
 */
import { DeltaParams, PrecondParams, RowProductsParams, TriSolveParams } from '../../generated/gpu-params.ts';
import { type Fields, gpuKernel, groupsOf, type Pass, type PlanCall, roundUp } from '../kernel.ts';
import { alignedRows } from './aligned.ts';

/** Threads of shaders with one thread for each element. */
const THREADS = 256;
/** Columns of the state of a workgroup, and threads that share one. */
const STRIP = 4;
const SPLIT = 16;
/** Tokens whose rows lie in workgroup memory, at most; vectors of these rows; bytes beside them. */
const MOST_TOKENS = 32;
const CAPACITY = 768;
const LARGE_CAPACITY = 1280;
const OTHER_BYTES = 3584;

/** Every token in its turn. */
function recurrent(p: Fields<typeof DeltaParams>, { facts, refuse }: PlanCall): Pass[] {
  let rows = 1;
  while (rows * SPLIT * 4 < p.dk) rows *= 2;
  // places of the rows of a token: k, q, and those that are there
  let kinds = 2;
  const erase = p.a ? kinds++ : 0;
  const along = p.b ? kinds++ : 0;
  const gates = p.gateKind === 2 ? kinds++ : 0;
  const vectors = kinds * rows * SPLIT;
  const roomy = LARGE_CAPACITY * 16 + OTHER_BYTES <= facts.workgroupBytes;
  const capacity = Math.max(roomy ? LARGE_CAPACITY : CAPACITY, vectors);
  if (capacity * 16 + OTHER_BYTES > facts.workgroupBytes) {
    refuse(
      `a delta rule with keys of ${p.dk} elements on a device with ${facts.workgroupBytes} bytes of workgroup memory`,
    );
  }
  const tokens = Math.min(MOST_TOKENS, Math.floor(capacity / vectors));
  return [
    {
      shader: 'delta',
      constants: { ROWS: rows, CAPACITY: capacity, TOKENS: MOST_TOKENS },
      extra: { tokens, kinds, erase, along, gates },
      groups: p.sequenceCount * p.heads * groupsOf(p.dv, STRIP),
    },
  ];
}

/** Tokens of a sequence, on average, from which chunks are worth their passes. */
const LONG = 256;
/** Columns of the state that a workgroup carries through chunks. */
const CARRIED = 8;
/** Most bytes that the chunks in work take, where those of all heads that begin together need no more. */
const MOST_UNITS = 2 ** 27;

/** Whether chunks can do all that a call asks for. */
function chunked(p: Fields<typeof DeltaParams>): boolean {
  const tokens = p.sequences ? p.length / Math.max(1, p.sequenceCount) : p.length;
  const plain = !p.b && p.substeps <= 1 && p.gateEvery <= 1 && !p.snapshots && p.gateKind !== 2;
  return plain && tokens >= LONG && p.dk % 4 === 0 && p.dv % 4 === 0 && p.dv > 0 && p.stateStrideV === 1;
}

/** Chunks side by side, the state through them, outputs side by side. */
function byChunks(p: Fields<typeof DeltaParams>, { facts, scratch }: PlanCall): Pass[] {
  // the triangular systems of 64 tokens take 22 KB
  const C = facts.workgroupBytes >= 24576 && facts.workgroupThreads >= 256 ? 64 : 32;
  const NT = (C / 4) ** 2;
  const kp = roundUp(p.dk, 16);
  const unit = Math.max((kp + C) * p.dv, C * C) + (kp + C) * C + 2 * kp * C + kp;
  const chunks = Math.ceil(p.length / C);
  const slots = p.sequences ? chunks + p.sequenceCount : chunks * p.sequenceCount;
  const most = Math.max(
    1,
    Math.min(slots, Math.floor(Math.min(MOST_UNITS, facts.bindingBytes / 4) / (unit * 4 * p.heads))),
  );
  const at = scratch(most * p.heads * unit * 4);
  const rows = [
    [p.q, p.qType, p.qStrideB, p.qStrideT, p.qStrideH],
    [p.k, p.kType, p.kStrideB, p.kStrideT, p.kStrideH],
    [p.v, p.vType, p.vStrideB, p.vStrideT, p.vStrideH],
    [p.a, p.aType, p.aStrideB, p.aStrideT, p.aStrideH],
    [p.o, 0, p.oStrideB, p.oStrideT, p.oStrideH],
    [p.written, 0, p.writtenStrideB, p.writtenStrideT, p.writtenStrideH],
    [p.stateOut, 0, p.stateStrideN, p.stateStrideK, p.stateStrideH],
  ] as const;
  const floats = rows.filter(([address, type]) => address !== 0 && type === 0);
  const wide = floats.every(([address, , ...strides]) => alignedRows(address, ...strides));
  const memory = wide ? 'wide' : 'words';
  const constants = { C, NT };
  const passes: Pass[] = [];
  for (let first = 0; first < slots; first += most) {
    const count = Math.min(most, slots - first);
    const extra = { first, count, scratch: at };
    const units = count * p.heads;
    const own = { ...constants, ERASES: p.a !== 0 };
    const states = p.sequenceCount * p.heads * groupsOf(p.dv, CARRIED);
    const carry = { C, C4: C / 4, NT: 2 * C, PARTS: Math.ceil(kp / C) };
    const reading = { ...constants, LOADS: (4 * C) / NT };
    passes.push(
      { shader: 'delta-chunk', constants: own, groups: units, extra, memory },
      { shader: 'delta-solve', constants, groups: units, extra, memory },
      { shader: 'delta-carry', constants: carry, groups: states, extra, memory },
    );
    if (p.o)
      passes.push({ shader: 'delta-read', constants: reading, groups: units * groupsOf(p.dv, C), extra, memory });
  }
  return passes;
}

export const delta = {
  delta: gpuKernel(DeltaParams, (p, call) => (chunked(p) ? byChunks(p, call) : recurrent(p, call))),
  deltaStep: gpuKernel(DeltaParams, recurrent),
  rowProducts: gpuKernel(RowProductsParams, (p, { items }) => [
    { shader: 'row-products', groups: groupsOf(items * p.heads * p.d, THREADS), extra: { items } },
  ]),
  precondTerms: gpuKernel(PrecondParams, (p, { items }) => [
    { shader: 'precond-terms', groups: groupsOf(items * p.heads * p.d, THREADS), extra: { items } },
  ]),
  precondKeys: gpuKernel(PrecondParams, (p, { items }) => [
    { shader: 'precond-keys', groups: groupsOf(items * p.heads * p.d, THREADS), extra: { items } },
  ]),
  triSolve: gpuKernel(TriSolveParams, (_, { items }) => [{ shader: 'tri-solve', groups: items }]),
};
