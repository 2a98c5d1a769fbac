import { type AttentionInputs, softmax } from './attention.ts';
import { dot, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Which query belongs to which row of a choice [B, L, R, C], and which key to which column. */
export interface ChosenOptions {
  rowOf?: (i: number) => number;
  columnOf?: (j: number) => number;
  causal?: boolean | undefined;
  scale?: number | undefined;
}

/** Softmax attention over the chosen keys alone: head h of Hq goes by list floor(h * L / Hq). */
export function attendChosen(
  { q, k, v }: Pick<AttentionInputs, 'q' | 'k' | 'v'>,
  chosen: NdArray,
  { rowOf = (i) => i, columnOf = (j) => j, causal = false, scale }: ChosenOptions,
  round: Round = float64,
): { o: Result; lse: Result } {
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv, Dv] = v.shape as [number, number, number, number];
  const [, L, R, C] = chosen.shape as [number, number, number, number];
  const factor = round(scale ?? D ** -0.5);
  const o = zeros([B, Tq, Hq, Dv]);
  const lse = zeros([B, Tq, Hq]);
  for (let query = 0; query < lse.data.length; query++) {
    const [h, i, b] = [query % Hq, Math.floor(query / Hq) % Tq, Math.floor(query / Hq / Tq)];
    const row = ((b * L + Math.floor((h * L) / Hq)) * R + rowOf(i)) * C;
    const keys: number[] = [];
    for (let j = 0; j < (causal ? Math.min(Tk, i + Tk - Tq + 1) : Tk); j++) {
      if (chosen.data[row + columnOf(j)]) keys.push((b * Tk + j) * Hkv + Math.floor((h * Hkv) / Hq));
    }
    const logits = keys.map((key) => round(factor * dot(q.data, query * D, 1, k.data, key * D, 1, D, round)));
    const { p, lse: rowLse } = softmax(logits, round);
    lse.data[query] = rowLse;
    keys.forEach((key, n) => {
      for (let c = 0; c < Dv; c++) {
        const at = query * Dv + c;
        o.data[at] = round(o.data[at]! + round(p[n]! * v.data[key * Dv + c]!));
      }
    });
  }
  return { o, lse };
}

/** Sum of gate_i * x_i over branches, gates [B, T, H] or as x [B, T, H, D]. */
export function gatedSum(
  branches: readonly (readonly [gate: NdArray | undefined, x: NdArray])[],
  round: Round = float64,
): Result {
  const o = zeros(branches[0]![1].shape);
  const D = o.shape[3]!;
  for (let n = 0; n < o.data.length; n++) {
    for (const [gate, x] of branches) {
      const weight = gate ? gate.data[gate.shape.length === 3 ? Math.floor(n / D) : n]! : 1;
      o.data[n] = round(o.data[n]! + round(weight * x.data[n]!));
    }
  }
  return o;
}

/** The box of each token of a grid, boxes and tokens row by row; boxes at the far edges may be smaller. */
export function boxesOf(grid: readonly number[], box: readonly number[]): { labels: number[]; count: number } {
  const counts = grid.map((n, axis) => Math.ceil(n / box[axis]!));
  const size = grid.reduce((product, n) => product * n, 1);
  const labels = Array.from({ length: size }, (_, token) => {
    let rest = token;
    let stride = 1;
    let label = 0;
    for (let axis = grid.length - 1; axis >= 0; axis--) {
      label += Math.floor((rest % grid[axis]!) / box[axis]!) * stride;
      rest = Math.floor(rest / grid[axis]!);
      stride *= counts[axis]!;
    }
    return label;
  });
  return { labels, count: counts.reduce((product, n) => product * n, 1) };
}

/** Labels of tokens as the array [1, 1, T] that pooling takes, for B sequences. */
export function labelsFor(labels: readonly number[], B: number): NdArray {
  return { shape: [B, 1, labels.length], data: Array.from({ length: B }, () => labels).flat() };
}

/** How many keys are chosen in each row of [B, L, R, C]. */
export function countsOf(chosen: NdArray): Result {
  const [B, L, R, C] = chosen.shape as [number, number, number, number];
  const counts = zeros([B, L, R]);
  for (let row = 0; row < counts.data.length; row++) {
    for (let j = 0; j < C; j++) counts.data[row]! += chosen.data[row * C + j]!;
  }
  return counts;
}

/** Keys that query 0 does not see the end of: a causal mask is aligned bottom-right. */
export function alignment(q: NdArray, k: NdArray): number {
  return k.shape[1]! - q.shape[1]!;
}
