/**
 * Matrix products: tiles of o in workgroup memory, split along k where there are few of them, and products of a few rows.
 *
 * @module
 */
import { GemmPackParams, GemmParams } from '../../generated/gpu-params.ts';
import { type Fields, gpuKernel, groupsOf, type Pass, type PlanCall } from '../kernel.ts';
import { aligned } from './aligned.ts';

const THREADS = 256;
/** Rows up to which b is read once by each block of eight of them, not tile by tile. */
const FEW_ROWS = 16;
/** Workgroups that a large device wants before tiles grow, and that sums along k are split for. */
const ENOUGH = 128;
/** Elements of k that a part of a split sum has at least, and parts at most. */
const PART = 128;
const MOST_PARTS = 16;
/** Elements of k in workgroup memory. */
const DEPTH = 16;

type Gemm = Fields<typeof GemmParams>;

function fewRows(p: Gemm, products: number, memory: Pass['memory']): Pass[] {
  const rows = p.m > 4 ? 8 : p.m > 1 ? 4 : 1;
  const blocksM = Math.ceil(p.m / rows);
  const panels = Math.ceil(p.n / 8);
  const threads = p.k <= 256 ? 64 : rows === 8 ? 128 : 256;
  return [
    {
      shader: 'gemm-few',
      constants: { ROWS: rows, THREADS: threads },
      ...(memory ? { memory } : {}),
      groups: products * panels * blocksM,
      extra: { blocksM, panels, half: threads / 2 },
    },
  ];
}

/** The side of tiles: the largest one of which there are enough. */
function tileOf({ m, k, n }: Gemm, products: number): number {
  const tiles = (side: number) => products * Math.ceil(m / side) * Math.ceil(n / side);
  if (Math.min(m, n) > 64 && tiles(128) >= ENOUGH) return 128;
  return Math.min(m, n) > 32 && (tiles(64) >= ENOUGH || k >= 2 * PART) ? 64 : 32;
}

function tiled(p: Gemm, products: number, memory: Pass['memory'], call: PlanCall): Pass[] {
  const tile = tileOf(p, products);
  const blocksM = Math.ceil(p.m / tile);
  const blocksN = Math.ceil(p.n / tile);
  const tiles = products * blocksM * blocksN;
  const wanted = Math.min(MOST_PARTS, Math.floor((2 * ENOUGH) / tiles), Math.floor(p.k / PART));
  const partK = wanted > 1 ? Math.ceil(p.k / wanted / DEPTH) * DEPTH : p.k;
  const parts = Math.max(1, Math.ceil(p.k / Math.max(1, partK)));
  const split = parts > 1;
  const partial = split ? call.scratch(parts * products * p.m * Math.ceil(p.n / 4) * 16) : 0;
  const buffers = call.facts.workgroupBytes >= 2 * 2 * DEPTH * tile * 4 ? 2 : 1;
  const view = memory ? { memory } : {};
  const passes: Pass[] = [
    {
      shader: 'gemm-tiles',
      constants: { TILE: tile, BUFFERS: buffers, SPLIT: split },
      ...view,
      groups: tiles * parts,
      extra: { blocksM, blocksN, partial, parts, partK, products },
    },
  ];
  if (split) {
    const groups = groupsOf(products * p.m * Math.ceil(p.n / 4), THREADS);
    passes.push({ shader: 'gemm-join', ...view, groups, extra: { partial, parts, products } });
  }
  return passes;
}

export const gemm = {
  gemmPack: gpuKernel(GemmPackParams, (p, { items }) => {
    const count = items * p.k * 2;
    const memory = p.bPack % 16 === 0 ? 'wide' : 'words';
    return [{ shader: 'gemm-pack', memory, groups: groupsOf(count, THREADS), extra: { count } }];
  }),
  gemm: gpuKernel(GemmParams, (p, call) => {
    const products = call.items / (Math.ceil(p.m / p.blockM) * Math.ceil(p.n / p.blockN));
    const wide = aligned([p.a, p.bPack, p.o], [p.aStride, p.aStrideB, p.bStrideB, p.oStride, p.oStrideB, p.k, p.n]);
    const memory = wide ? 'wide' : 'words';
    return p.m <= FEW_ROWS ? fewRows(p, products, memory) : tiled(p, products, memory, call);
  }),
};
