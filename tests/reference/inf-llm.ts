import type { AttentionInputs } from './attention.ts';
import { softmax } from './attention.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { rope } from './rope.ts';

type Inputs = Pick<AttentionInputs, 'q' | 'k' | 'v'>;

/** Options of infLlm. */
export interface InfLlmOptions {
  window: number;
  topk: number;
  block: number;
  sinks?: number;
  theta?: number;
  interleaved?: boolean;
}

/** What stands for blocks [B, blocks, Hkv, D]: the mean of the keys with the highest scores [B, Hkv, Tk]. */
export function infLlmBlocks(
  k: NdArray,
  scores: NdArray | undefined,
  block: number,
  sinks: number,
  reprTopk: number,
): Result {
  const [B, Tk, H, D] = k.shape as [number, number, number, number];
  const blocks = Math.max(0, Math.floor((Tk - sinks) / block));
  const reps = zeros([B, blocks, H, D]);
  for (let row = 0; row < B * blocks * H; row++) {
    const [h, m, b] = [row % H, Math.floor(row / H) % blocks, Math.floor(row / H / blocks)];
    const keys = Array.from({ length: block }, (_, n) => sinks + m * block + n);
    const score = (j: number) => scores!.data[(b * H + h) * Tk + j]!;
    if (scores) keys.sort((x, y) => score(y) - score(x) || x - y).splice(reprTopk);
    for (const j of keys)
      for (let c = 0; c < D; c++) reps.data[row * D + c]! += k.data[((b * Tk + j) * H + h) * D + c]! / keys.length;
  }
  return reps;
}

/** Queries turned by one angle for what is beyond the window. */
function farQueries(q: NdArray, { window, theta = 10000, interleaved = false }: InfLlmOptions, round: Round): Result {
  const positions = { shape: [q.shape[1]!], data: new Array<number>(q.shape[1]!).fill(window) };
  return rope({ x: q, positions }, { base: theta, interleaved }, round).o;
}

/** Blocks that end before the window of query i. */
export function blocksBefore(
  { q, k }: Pick<Inputs, 'q' | 'k'>,
  i: number,
  { window, block, sinks = 0 }: InfLlmOptions,
): number {
  const edge = i + k.shape[1]! - q.shape[1]! + 1 - window;
  return Math.max(0, Math.floor((edge - sinks) / block));
}

/** Scores of blocks [B, 1, Tq, blocks]: sums over heads of products of turned queries with what stands for the blocks. */
export function blockScores({ q, k }: Inputs, reps: NdArray, options: InfLlmOptions): Result {
  const far = farQueries(q, options, float64);
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, blocks, Hkv] = reps.shape as [number, number, number];
  const map = zeros([B, 1, Tq, blocks]);
  for (let at = 0; at < map.data.length; at++) {
    const [m, i, b] = [at % blocks, Math.floor(at / blocks) % Tq, Math.floor(at / blocks / Tq)];
    for (let h = 0; h < Hq; h++) {
      const rep = ((b * blocks + m) * Hkv + Math.floor((h * Hkv) / Hq)) * D;
      for (let c = 0; c < D; c++) map.data[at]! += far.data[((b * Tq + i) * Hq + h) * D + c]! * reps.data[rep + c]!;
    }
  }
  void k;
  return map;
}

/** InfLLM (arXiv 2402.04617), given the chosen blocks [B, 1, Tq, blocks]. */
export function infLlm(
  inputs: Inputs,
  options: InfLlmOptions,
  chosen: NdArray,
  round: Round = float64,
): { o: Result; lse: Result } {
  const { q, k, v } = inputs;
  const { window, block, sinks = 0, theta = 10000, interleaved = false } = options;
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv, Dv] = v.shape as [number, number, number, number];
  const far = farQueries(q, options, round);
  const scale = round(D ** -0.5);
  const o = zeros([B, Tq, Hq, Dv]);
  const lse = zeros([B, Tq, Hq]);
  // places count from the first key that a window sees: only distances matter
  const start = Math.max(0, Tk - Tq + 1 - window);
  const nearQ = rope({ x: q }, { base: theta, interleaved, offset: Tk - Tq - start }, round).o;
  const nearK = rope({ x: k }, { base: theta, interleaved, offset: -start }, round).o;
  const blocks = chosen.shape[3]!;
  for (let row = 0; row < lse.data.length; row++) {
    const [h, i, b] = [row % Hq, Math.floor(row / Hq) % Tq, Math.floor(row / Hq / Tq)];
    const t = i + Tk - Tq;
    const before = blocksBefore(inputs, i, options);
    const logits: number[] = [];
    const keys: number[] = [];
    for (let j = 0; j <= t; j++) {
      const isNear = t - j < window;
      const m = Math.floor((j - sinks) / block);
      const whole = j >= sinks && m < before;
      if (!isNear && whole && !chosen.data[(b * Tq + i) * blocks + m]) continue;
      const key = (b * Tk + j) * Hkv + Math.floor((h * Hkv) / Hq);
      const [query, rows] = isNear ? [nearQ, nearK] : [far, k];
      let sum = 0;
      for (let c = 0; c < D; c++) sum = round(sum + round(query.data[row * D + c]! * rows.data[key * D + c]!));
      logits.push(round(scale * sum));
      keys.push(key);
    }
    const { p, lse: rowLse } = softmax(logits, round);
    lse.data[row] = rowLse;
    keys.forEach((key, n) => {
      for (let c = 0; c < Dv; c++)
        o.data[row * Dv + c] = round(o.data[row * Dv + c]! + round(p[n]! * v.data[key * Dv + c]!));
    });
  }
  return { o, lse };
}
