import { attention } from './attention.ts';
import { largest, maskOf, product, rowOf, softmaxOf } from './block-choice.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { blocksOfRow } from './xattention.ts';

/** Operands of seerAttention; qPre and kPre are q and k before rotary positions. */
export interface SeerAttentionInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
  qPre?: NdArray;
  kPre?: NdArray;
  /** [Hq,D,G] */
  wq?: NdArray;
  /** [Hkv or Hq,3D,G] */
  wk: NdArray;
}

/** Options of seerAttention: topK, ratio or threshold. */
export interface SeerAttentionOptions {
  block?: number;
  topK?: number;
  ratio?: number;
  threshold?: number;
  lastDense?: boolean;
  diagonal?: boolean;
  causal?: boolean;
  ropeBase?: number;
  scale?: number;
}

/** Channels of a block's rows pooled one by one. */
function pooled(x: NdArray, b: number, h: number, from: number, to: number, pool: (x: number[]) => number): number[] {
  const rows = Array.from({ length: to - from }, (_, t) => rowOf(x, b, from + t, h));
  return rows[0]!.map((_, c) => pool(rows.map((row) => row[c]!)));
}

/** x times the matrix w[head], [inner, outer]. */
function through(x: readonly number[], w: NdArray, head: number): number[] {
  const [, inner = 0, outer = 0] = w.shape;
  return Array.from({ length: outer }, (_, g) => {
    let sum = 0;
    for (let i = 0; i < inner; i++) sum += x[i]! * w.data[offset(w.shape, head, i, g)]!;
    return sum;
  });
}

/** Turns the pairs (x_i, x_{i + G/2}) by position * base^(-2i/G). */
function rotated(x: readonly number[], position: number, base: number): number[] {
  const half = x.length / 2;
  const out = [...x];
  for (let i = 0; i < half; i++) {
    const angle = position * base ** (-i / half);
    const [a, c] = [x[i]!, x[i + half]!];
    out[i] = a * Math.cos(angle) - c * Math.sin(angle);
    out[i + half] = c * Math.cos(angle) + a * Math.sin(angle);
  }
  return out;
}

const mean = (x: number[]) => x.reduce((a, b) => a + b, 0) / x.length;

/**
 * Blocks u8 [B,H,R,C] by learned gates: the mean of a block's queries and the largest, least and mean of a block's keys, each before
 * rotary positions, through linear maps of the head, turned by the position of the block's start; softmax of their products over the
 * blocks, of which those above a threshold or the largest stay (SeerAttention, arXiv 2410.13276, seer_attn/attn_gate.py).
 */
export function seerAttentionChoice(
  { q, k, qPre = q, kPre = k, wq, wk }: SeerAttentionInputs,
  {
    block = 64,
    topK,
    ratio,
    threshold,
    lastDense = false,
    diagonal = false,
    causal = true,
    ropeBase = 10000,
  }: SeerAttentionOptions,
): { chosen: Result; gap: number } {
  const [batches = 0, tq = 0, heads = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const [rows, columns] = [Math.ceil(tq / block), Math.ceil(tk / block)];
  const gate = wk.shape[2]!;
  const chosen = zeros([batches, heads, rows, columns]);
  let gap = Number.POSITIVE_INFINITY;
  const turn = (x: number[], position: number) => (ropeBase > 0 ? rotated(x, position, ropeBase) : x);
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const kh = Math.floor(h / (heads / kvHeads));
      const keys = Array.from({ length: columns }, (_, c) => {
        const [from, to] = [c * block, Math.min(tk, (c + 1) * block)];
        const all = [
          ...pooled(kPre, b, kh, from, to, (x) => Math.max(...x)),
          ...pooled(kPre, b, kh, from, to, (x) => Math.min(...x)),
          ...pooled(kPre, b, kh, from, to, mean),
        ];
        return turn(through(all, wk, Math.floor((h * wk.shape[0]!) / heads)), from);
      });
      for (let r = 0; r < rows; r++) {
        const [from, to] = [r * block, Math.min(tq, (r + 1) * block)];
        const average = pooled(qPre, b, h, from, to, mean);
        const query = turn(wq ? through(average, wq, h) : average, from + tk - tq);
        const { count, own } = blocksOfRow(r, { queryBlock: block, keyBlock: block, tq, tk }, causal);
        const mass = softmaxOf(
          count > 0 ? Array.from({ length: count }, (_, c) => gate ** -0.5 * product(query, keys[c]!)) : [0],
        );
        const forced = new Set(diagonal ? own : []);
        let shown = forced;
        if (lastDense && r === rows - 1) {
          shown = new Set(mass.keys());
        } else if (threshold !== undefined) {
          for (const p of mass) gap = Math.min(gap, Math.abs(p - threshold) / threshold);
          shown = new Set([...forced, ...mass.keys()].filter((c) => forced.has(c) || mass[c]! > threshold));
        } else {
          const choice = largest(mass, topK ?? Math.max(1, Math.floor(ratio! * columns)), forced);
          gap = Math.min(gap, choice.gap);
          shown = choice.chosen;
        }
        for (const c of shown) if (c < count) chosen.data[offset(chosen.shape, b, h, r, c)] = 1;
      }
    }
  }
  return { chosen, gap };
}

/** Softmax attention over the chosen blocks. */
export function seerAttention(
  inputs: SeerAttentionInputs,
  options: SeerAttentionOptions,
  round: Round = float64,
  { chosen }: { chosen: NdArray } = seerAttentionChoice(inputs, options),
): { o: Result; lse: Result } {
  const { block = 64, causal = true, scale } = options;
  const { q, k, v } = inputs;
  const [batches = 0, tq = 0, heads = 0] = q.shape;
  const tk = k.shape[1]!;
  const mask = maskOf(
    [batches, heads, tq, tk],
    (b, h, i, j) => chosen.data[offset(chosen.shape, b, h, Math.floor(i / block), Math.floor(j / block))] === 1,
  );
  return attention({ q, k, v, mask }, { causal, ...(scale !== undefined && { scale }) }, round);
}
