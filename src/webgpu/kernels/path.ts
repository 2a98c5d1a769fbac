/**
 * Attention whose scores or values pass through the delta rule.
 *
 * @module
 */
import { PathBlocksParams, PathParams } from '../../generated/params.ts';
import type { GpuFacts } from '../device.ts';
import { type Fields, gpuKernel, groupsOf, type Pass, type PlanCall } from '../kernel.ts';

/** Rows of a block. */
const BLOCK = 64;
/** Most bytes that the passes of PaTH's blocks leave for each other at a time, where a block of all heads needs no more. */
const MOST_SCRATCH = 2 ** 26;

/** Runs of 64 elements. */
const runsOf = (d: number) => Math.max(1, Math.ceil(d / 64));

/** Whether neighbouring threads of a row are sure to be in one subgroup. */
function lanesOf({ subgroup }: GpuFacts, threads: number, lanes: number) {
  return subgroup >= lanes && threads >= subgroup ? 'lanes-subgroup' : 'lanes-shared';
}

/** Blocks of all heads a few at a time, each pass over all of these. */
function planBlocks(p: Fields<typeof PathBlocksParams>, { scratch }: PlanCall): Pass[] {
  const wide = Math.ceil(p.dk / 4) * 4;
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
    const lanes = lanesOf(facts, NT, TN);
    const bytes = (DC + 1) * 64 * BM * 4 + (lanes === 'lanes-shared' ? NT * 16 : 0) + 64;
    if (bytes > facts.workgroupBytes || NT > facts.workgroupThreads) continue;
    const wide = [p.dv, p.oStrideB, p.oStrideT, p.oStrideH, p.o / 4].every((n) => n % 4 === 0);
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

export const path = {
  pathBlocks: gpuKernel(PathBlocksParams, planBlocks),
  path: gpuKernel(PathParams, planPath),
};
