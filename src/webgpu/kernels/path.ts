/**
 * Attention whose scores or values pass through the delta rule.
 *
 * @module
 */
import { DeltaformerParams, PathBlocksParams, PathParams } from '../../generated/gpu-params.ts';
import { type Fields, gpuKernel, groupsOf, type Pass, type PlanCall, roundUp } from '../kernel.ts';
import { alignedRows } from './aligned.ts';
import { lanesPart } from './lanes.ts';

/** Rows of a block. */
const BLOCK = 64;
/** Most bytes that the passes of PaTH's blocks leave for each other at a time, where a block of all heads needs no more. */
const MOST_SCRATCH = 2 ** 26;

/** Runs of 64 elements. */
const runsOf = (d: number) => Math.max(1, Math.ceil(d / 64));

/** Blocks of all heads a few at a time, each pass over all of these. */
function planBlocks(p: Fields<typeof PathBlocksParams>, { scratch }: PlanCall): Pass[] {
  const wide = roundUp(p.dk, 4);
  const heads = p.kvHeads * p.group;
  const tile = BLOCK * wide * 4;
  const square = BLOCK * BLOCK * 4;
  const bytes = p.kvHeads * (3 * tile + 2 * square) + heads * (tile + square);
  const most = Math.max(1, Math.min(p.blocks, Math.floor(MOST_SCRATCH / bytes)));
  const at = p.blocks > 0 ? scratch(most * bytes) : 0;
  const strips = groupsOf(wide + BLOCK, 64);
  const passes: Pass[] = [];
  for (let first = 0; first < p.blocks; first += most) {
    const count = Math.min(most, p.blocks - first);
    const extra = { first, count, scratch: at };
    const [keys, queries] = [p.kvHeads * count, heads * count];
    passes.push(
      { shader: 'path-rows', groups: groupsOf(((keys + queries) * BLOCK * wide) / 4, 256), extra, memory: 'wide' },
      { shader: 'path-overlaps', groups: keys + queries, extra, memory: 'wide' },
      { shader: 'path-solve', groups: keys * strips, extra },
      { shader: 'path-carries', groups: keys * strips, extra, memory: 'wide' },
      { shader: 'path-queries', groups: queries * strips, extra, memory: 'wide' },
    );
  }
  const tiles = 4 + groupsOf(wide, 16);
  passes.push({
    shader: 'path-spans',
    constants: { PARTS: runsOf(p.dk) },
    groups: p.kvHeads * p.blocks * tiles,
    extra: { tiles },
    memory: 'wide',
  });
  return passes;
}

function planPath(p: Fields<typeof PathParams>, { items, facts, refuse }: PlanCall): Pass[] {
  const [DC, VC] = [runsOf(p.dk), runsOf(p.dv)];
  const TN = BLOCK / 4;
  for (const BM of [64, 32, 16, 8, 4]) {
    const NT = (BM / 4) * TN;
    const lanes = lanesPart(facts, NT, TN);
    const bytes = (DC + 1) * 64 * BM * 4 + (lanes === 'lanes-shared' ? NT * 16 : 0) + 64;
    if (bytes > facts.workgroupBytes || NT > facts.workgroupThreads) continue;
    const wide = alignedRows(p.o, p.oStrideB, p.oStrideT, p.oStrideH, p.dv);
    return [
      {
        shader: 'path',
        parts: [lanes, wide ? 'output-wide' : 'output-words'],
        memory: wide ? 'wide' : 'words',
        constants: { BM, TN, NT, DC, VC, BIASED: p.keyBias !== 0 },
        groups: items * (BLOCK / BM),
        extra: { subs: BLOCK / BM },
      },
    ];
  }
  return refuse(
    `PaTH attention of ${p.dk} elements on a device with ${facts.workgroupBytes} bytes of workgroup memory`,
  );
}

/** Workgroups of DeltaFormer that go over earlier keys side by side, about. */
const SIDE_BY_SIDE = 128;

function planDeltaformer(p: Fields<typeof DeltaformerParams>, { items, facts, scratch, refuse }: PlanCall): Pass[] {
  const DC = runsOf(p.dk);
  for (const BM of [64, 32, 16, 8]) {
    const TN = BM / 4;
    const NT = TN * TN;
    const VC = Math.max(1, Math.ceil(p.dv / BM));
    const lanes = lanesPart(facts, NT, TN);
    const shared = lanes === 'lanes-shared' ? NT * 16 : 0;
    const bytes = (DC * 64 + BM) * BM * 4 + 4 * VC * TN * 16 + shared + 64;
    if (bytes > facts.workgroupBytes || NT > facts.workgroupThreads) continue;
    const wide = alignedRows(p.o, p.oStrideB, p.oStrideT, p.oStrideH, p.dv);
    const pass = {
      shader: 'deltaformer',
      parts: [lanes, wide ? 'output-wide' : 'output-words'],
      memory: wide ? 'wide' : 'words',
    } as const;
    const constants = { BM, TN, NT, DC, VC };
    // a span is as long as keeps the device busy
    const count = Math.min(16, Math.max(2, Math.round(SIDE_BY_SIDE / Math.max(1, items))));
    const state = items > 0 ? scratch(items * count * (4 * VC + 2) * NT * 16) : 0;
    const passes: Pass[] = [];
    // the longest sequence has at most all packed blocks
    for (let first = 0; first < p.blocks * (BLOCK / BM); first += count) {
      const extra = { first, count, state };
      if (first > 0) passes.push({ ...pass, constants: { ...constants, OWN: false }, groups: items * count, extra });
      passes.push({ ...pass, constants: { ...constants, OWN: true }, groups: items, extra });
    }
    return passes;
  }
  return refuse(
    `DeltaFormer with keys of ${p.dk} elements on a device with ${facts.workgroupBytes} bytes of workgroup memory`,
  );
}

export const path = {
  deltaformer: gpuKernel(DeltaformerParams, planDeltaformer),
  pathBlocks: gpuKernel(PathBlocksParams, planBlocks),
  path: gpuKernel(PathParams, planPath),
};
