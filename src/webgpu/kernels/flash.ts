/**
 * Attention for many queries: tiles of keys through workgroup memory.
 *
 * @module
 */
import { FlashPackParams, FlashParams } from '../../generated/gpu-params.ts';
import type { ShaderName } from '../../generated/shaders.ts';
import type { GpuFacts } from '../device.ts';
import { type Fields, gpuKernel, groupsOf, type Pass, roundUp } from '../kernel.ts';
import { alignedRows } from './aligned.ts';
import { lanesPart } from './lanes.ts';

/** How a call is cut: query rows and keys of a tile, threads, and elements that pass through workgroup memory at a time. */
interface Tiling {
  readonly BM: number;
  readonly BN: number;
  readonly TN: number;
  readonly NT: number;
  readonly DK: number;
  readonly DV: number;
  readonly DC: number;
}

/** The table of pairs of a thread: four rows, four keys. */
const ROWS = 4;

function tilingOf(p: Fields<typeof FlashParams>, facts: GpuFacts, BM: number, DC: number): Tiling & { bytes: number } {
  // what a row passes over is decided for blocks of 64 keys
  const BN = p.hasSkip ? 64 : 32;
  const TN = BN / ROWS;
  const NT = (BM / ROWS) * TN;
  const [DK, DV] = [roundUp(Math.max(p.dk, 1), DC), roundUp(Math.max(p.dv, 1), DC)];
  const queries = DK * BM;
  const weights = BN * BM;
  const lanes = lanesPart(facts, NT, TN) === 'lanes-shared' ? NT * 4 : 0;
  const sets = p.r ? 2 : 1;
  const floats = sets * queries + Math.max(DC * BN, sets * weights) + BN * DC + lanes;
  return { BM, BN, TN, NT, DK, DV, DC, bytes: floats * 4 };
}

/** The largest tiles that fit. */
function chooseTiling(p: Fields<typeof FlashParams>, facts: GpuFacts): Tiling {
  const most = p.blockQ % 64 === 0 ? 64 : 32;
  const dims = Math.max(p.dk, p.dv);
  const chunks = p.hasSkip ? [64] : dims <= 32 ? [32] : dims <= 64 ? [64, 32] : [32];
  for (const rows of [64, 32, 16, 8, 4].filter((n) => n <= most)) {
    for (const chunk of chunks) {
      const { bytes, ...tiling } = tilingOf(p, facts, rows, chunk);
      if (bytes <= facts.workgroupBytes) return tiling;
    }
  }
  return tilingOf(p, facts, 4, chunks.at(-1)!);
}

function planFlash(
  p: Fields<typeof FlashParams>,
  { items, facts, scratch, refuse }: Parameters<Parameters<typeof gpuKernel<typeof FlashParams>>[1]>[1],
): Pass[] {
  if (p.quantization !== 0) refuse('attention on rounded queries, keys or values has no shader');
  const tiling = chooseTiling(p, facts);
  const { BM, BN, NT, TN, DK, DV, DC } = tiling;
  const subs = Math.ceil(p.blockQ / BM);
  const groups = items * subs;
  const fixed = p.listRows !== 0;
  const chosen = !fixed && (p.selected !== 0 || p.qPositions !== 0);
  // the longest sequence has at most all packed blocks
  const chosenStride = chosen ? p.blocks * (64 / BN) + 1 : 0;
  const extra = {
    subs,
    chosen: chosen ? scratch(groups * chosenStride * 4) : 0,
    chosenStride,
    lseTo: p.lse ? scratch(groups * BM * 4) : 0,
  };
  const [OC, LOADS] = [DC / 4 / TN, Math.ceil((DC * BN) / 4 / NT)];
  const wideO = p.scores === 0 && alignedRows(p.o, p.oStrideB, p.oStrideT, p.oStrideH, p.dv);
  const wideQ = p.qType === 0 && wideO && alignedRows(p.q, p.qStrideB, p.qStrideT, p.qStrideH, p.dk);
  const plain = p.softcap === 0 && !p.keyBias && !p.alibiSlopes && !p.bias && !p.mask && !p.scores && !p.hasSelfScore;
  const parts: ShaderName[] = [
    lanesPart(facts, NT, TN),
    fixed ? 'tiles-list' : chosen ? 'tiles-chosen' : 'tiles-window',
    wideO ? 'output-wide' : 'output-words',
  ];
  const passes: Pass[] = [];
  if (chosen) passes.push({ shader: 'flash-choose', constants: { BM, BN }, groups, extra });
  passes.push({
    shader: 'flash',
    parts,
    memory: wideO ? 'wide' : 'words',
    constants: {
      ...tiling,
      PLAIN: plain,
      SCORES: p.scores !== 0,
      SECOND: p.r !== 0,
      SKIP: p.hasSkip !== 0,
      WIDE_Q: wideQ,
      KCH: DK / DC,
      VCH: DV / DC,
      OC,
      LOADS,
      OUTS: OC * (DV / DC),
    },
    groups,
    extra,
  });
  if (p.lse) {
    passes.push({ shader: 'flash-lse', groups: groupsOf(groups * BM, 64), extra: { ...extra, rowsOfGroup: BM } });
  }
  return passes;
}

export const flash = {
  flashPack: gpuKernel(FlashPackParams, (_, { items }) => [{ shader: 'flash-pack', groups: items }]),
  flash: gpuKernel(FlashParams, planFlash),
};
