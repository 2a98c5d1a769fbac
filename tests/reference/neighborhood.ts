import { float64, type NdArray, type Result, type Round } from './ndarray.ts';
import { type PatternInputs, patternAttention } from './patterns.ts';

/** Options of neighborhood attention, one number an axis. */
export interface Neighborhood {
  kernelSize: readonly number[];
  dilation?: readonly number[];
  stride?: readonly number[];
  causal?: readonly boolean[];
  scale?: number;
}

/** Coordinates of a token of a row-major grid. */
export function coordinates(token: number, grid: readonly number[]): number[] {
  const at = new Array<number>(grid.length);
  for (let axis = grid.length - 1; axis >= 0; axis--) {
    at[axis] = token % grid[axis]!;
    token = Math.floor(token / grid[axis]!);
  }
  return at;
}

/** Whether coordinate i of an axis sees coordinate j. */
function near(i: number, j: number, length: number, kernel: number, dilation: number, stride: number, causal: boolean) {
  if (i % dilation !== j % dilation) return false;
  const members = Math.ceil((length - (i % dilation)) / dilation);
  const [query, key] = [Math.floor(i / dilation), Math.floor(j / dilation)];
  const group = Math.floor(query / stride) * stride;
  if (causal) {
    const leader = Math.min(group + stride - 1, members - 1);
    return key <= query && leader - key < kernel;
  }
  const leader = Math.min(group + Math.floor(stride / 2), members - 1);
  const [left, right] = [Math.floor(kernel / 2), kernel - 1 - Math.floor(kernel / 2)];
  const centre = Math.max(left, Math.min(members - 1 - right, leader));
  return key >= centre - left && key <= centre + right;
}

/**
 * Each token of a grid sees the kernel around it, moved inward at borders, among the tokens of its dilation group; with a stride the tokens of
 * a group of that many share the kernel of their leader (Neighborhood attention, arXiv 2204.07143; NATTEN's conventions).
 */
export function neighborhoodAttention(
  { q, k, v }: PatternInputs,
  options: Neighborhood,
  round: Round = float64,
): { o: Result; lse: Result } {
  const [batches = 0] = q.shape;
  const grid = q.shape.slice(1, -2);
  const heads = q.shape.at(-2)!;
  const tokens = grid.reduce((n, length) => n * length, 1);
  const flat = (x: NdArray) => ({ shape: [batches, tokens, x.shape.at(-2)!, x.shape.at(-1)!], data: x.data });
  const visible = (i: number, j: number) => {
    const [a, b] = [coordinates(i, grid), coordinates(j, grid)];
    return grid.every((length, axis) =>
      near(
        a[axis]!,
        b[axis]!,
        length,
        options.kernelSize[axis]!,
        options.dilation?.[axis] ?? 1,
        options.stride?.[axis] ?? 1,
        options.causal?.[axis] ?? false,
      ),
    );
  };
  const { o, lse } = patternAttention({ q: flat(q), k: flat(k), v: flat(v) }, visible, options, round);
  return {
    o: { shape: [batches, ...grid, heads, v.shape.at(-1)!], data: o.data },
    lse: { shape: [batches, ...grid, heads], data: lse.data },
  };
}
