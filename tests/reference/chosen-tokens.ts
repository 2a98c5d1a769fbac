// Scores and choices of methods that decode on chosen tokens of a cache.
import type { AttentionInputs } from './attention.ts';
import { alignment, attendChosen } from './chosen.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { type Choice, scoreMap, selectTopK, softmaxMap, type Visible } from './select.ts';

export type Inputs = Pick<AttentionInputs, 'q' | 'k' | 'v'>;

/** Query i sees itself and the tokens before it, aligned with the last. */
export function pastTokens({ q, k }: Pick<Inputs, 'q' | 'k'>): Visible {
  return { mul: 1, add: alignment(q, k) + 1, div: 1 };
}

/** The topk by some scores, beside the first and the last. */
export function chooseTokens(
  inputs: Inputs,
  scores: NdArray,
  {
    topk,
    sinks,
    recent,
    forced = 'added',
  }: { topk: number; sinks?: number; recent?: number; forced?: Choice['forced'] },
): Result {
  return selectTopK(scores, topk, { first: sinks, last: recent, forced, visible: pastTokens(inputs) });
}

/** Some channels of rows of x [B, T, H, D]: head h takes those of list floor(h * lists / H) of [lists, r]. */
export function takeChannels(x: NdArray, channels: NdArray): Result {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const [lists, r] = channels.shape as [number, number];
  const o = zeros([B, T, H, r]);
  for (let at = 0; at < o.data.length; at++) {
    const [n, h, row] = [at % r, Math.floor(at / r) % H, Math.floor(at / r)];
    o.data[at] = x.data[row * D + channels.data[Math.floor((h * lists) / H) * r + n]!]!;
  }
  return o;
}

/** Scores by a few channels of each key head. */
export function doubleSparsityScores({ q, k }: Inputs, channels: NdArray, scale = q.shape[3]! ** -0.5): Result {
  return scoreMap({ q: takeChannels(q, channels), k: takeChannels(k, channels), scale });
}

/** Sums of |q_c k_c| over all pairs, [Hkv, D]. */
export function channelWeights({ q, k }: Pick<Inputs, 'q' | 'k'>): Result {
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv] = k.shape as [number, number, number];
  const weights = zeros([Hkv, D]);
  for (let h = 0; h < Hkv; h++) {
    for (let c = 0; c < D; c++) {
      let [ofQ, ofK] = [0, 0];
      for (let b = 0; b < B; b++) {
        for (let t = 0; t < Tq; t++) {
          for (let head = 0; head < Hq; head++) {
            if (Math.floor((head * Hkv) / Hq) === h) ofQ += Math.abs(q.data[((b * Tq + t) * Hq + head) * D + c]!);
          }
        }
        for (let t = 0; t < Tk; t++) ofK += Math.abs(k.data[((b * Tk + t) * Hkv + h) * D + c]!);
      }
      weights.data[h * D + c] = ofQ * ofK;
    }
  }
  return weights;
}

/** Products of rows [B, T, H, D] with the directions [lists, r, D] of their heads, [B, T, H, r]. */
export function alongBasis(x: NdArray, basis: NdArray): Result {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const [lists, r] = basis.shape as [number, number];
  const o = zeros([B, T, H, r]);
  for (let at = 0; at < o.data.length; at++) {
    const [n, h, row] = [at % r, Math.floor(at / r) % H, Math.floor(at / r)];
    const direction = (Math.floor((h * lists) / H) * r + n) * D;
    for (let c = 0; c < D; c++) o.data[at]! += x.data[row * D + c]! * basis.data[direction + c]!;
  }
  return o;
}

/** Scores along the directions. */
export function lokiScores({ q, k }: Inputs, basis: NdArray, scale = q.shape[3]! ** -0.5): Result {
  return scoreMap({ q: alongBasis(q, basis), k: alongBasis(k, basis), scale });
}

/** Logits of the r channels of each group of heads with the largest |q|. */
export function sparqScores(
  { q, k }: Inputs,
  { r, scale = q.shape[3]! ** -0.5 }: { r: number; scale?: number | undefined },
  round: Round = float64,
): { map: Result; gap: number } {
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const group = Hq / k.shape[2]!;
  const masked = zeros(q.shape);
  let gap = Number.POSITIVE_INFINITY;
  for (let row = 0; row < B * Tq * Hq; row += group) {
    const sums = Array.from({ length: D }, (_, c) => {
      let sum = 0;
      for (let g = 0; g < group; g++) sum = round(sum + Math.abs(q.data[(row + g) * D + c]!));
      return sum;
    });
    const order = sums.map((_, c) => c).sort((a, b) => sums[b]! - sums[a]! || a - b);
    if (r < D) gap = Math.min(gap, (sums[order[r - 1]!]! - sums[order[r]!]!) / sums[order[0]!]!);
    const kept = new Set(order.slice(0, r));
    for (let g = 0; g < group; g++) {
      let [all, part] = [0, 0];
      for (let c = 0; c < D; c++) {
        const size = Math.abs(q.data[(row + g) * D + c]!);
        all = round(all + size);
        if (kept.has(c)) part = round(part + size);
      }
      const factor = round(scale * (part > 0 ? round(Math.sqrt(round(all / part))) : 1));
      for (const c of kept) masked.data[(row + g) * D + c] = round(q.data[(row + g) * D + c]! * factor);
    }
  }
  return { map: scoreMap({ q: masked, k, scale: 1 }, round), gap };
}

/** SparQ (arXiv 2312.04985), given what was chosen. */
export function sparq(
  inputs: Inputs,
  options: { r: number; scale?: number | undefined },
  chosen: NdArray,
  round: Round = float64,
): { o: Result; lse: Result } {
  const { q, k, v } = inputs;
  const [B, Tq, Hq] = q.shape as [number, number, number];
  const [, Tk, Hkv, Dv] = v.shape as [number, number, number, number];
  const visible = pastTokens({ q, k });
  const weights = softmaxMap(sparqScores(inputs, options, round).map, 1, visible, round);
  const { o, lse } = attendChosen(inputs, chosen, { causal: true, scale: options.scale }, round);
  for (let row = 0; row < B * Tq * Hq; row++) {
    const [h, i, b] = [row % Hq, Math.floor(row / Hq) % Tq, Math.floor(row / Hq / Tq)];
    const n = Math.max(0, i + Tk - Tq + 1);
    const at = ((b * Hq + h) * Tq + i) * Tk;
    let [alpha, left] = [0, 0];
    for (let j = 0; j < n; j++) {
      if (chosen.data[at + j]) alpha = round(alpha + weights.data[at + j]!);
      else left++;
    }
    if (left === 0) continue;
    for (let c = 0; c < Dv; c++) {
      let mean = 0;
      for (let j = 0; j < n; j++) {
        mean = round(mean + v.data[((b * Tk + j) * Hkv + Math.floor((h * Hkv) / Hq)) * Dv + c]!);
      }
      mean = round(mean / n);
      o.data[row * Dv + c] = round(round(alpha * o.data[row * Dv + c]!) + round(round(1 - alpha) * mean));
    }
  }
  return { o, lse };
}

/** Bits of signatures i32 [B, H, T] that agree, less those that do not: [B, Hq, Tq, Tk]. */
export function hammingScores(q: NdArray, k: NdArray, bits: number): Result {
  const [B, Hq, Tq] = q.shape as [number, number, number];
  const [, Hkv, Tk] = k.shape as [number, number, number];
  const map = zeros([B, Hq, Tq, Tk]);
  for (let at = 0; at < map.data.length; at++) {
    const [j, row] = [at % Tk, Math.floor(at / Tk)];
    const [h, b] = [Math.floor(row / Tq) % Hq, Math.floor(row / Tq / Hq)];
    const differing = q.data[row]! ^ k.data[(b * Hkv + Math.floor((h * Hkv) / Hq)) * Tk + j]!;
    let count = 0;
    for (let n = 0; n < 32; n++) count += (differing >>> n) & 1;
    map.data[at] = bits - 2 * count;
  }
  return map;
}

/** Tables in which hashes [B, Hq * tables, Tq] and [B, Hkv * tables, Tk] are the same, [B, Hq, Tq, Tk]. */
export function collisions(q: NdArray, k: NdArray, tables: number): Result {
  const [B, Lq, Tq] = q.shape as [number, number, number];
  const [, Lk, Tk] = k.shape as [number, number, number];
  const [Hq, Hkv] = [Lq / tables, Lk / tables];
  const map = zeros([B, Hq, Tq, Tk]);
  for (let at = 0; at < map.data.length; at++) {
    const [j, i, h, b] = [
      at % Tk,
      Math.floor(at / Tk) % Tq,
      Math.floor(at / Tk / Tq) % Hq,
      Math.floor(at / Tk / Tq / Hq),
    ];
    const kv = Math.floor((h * Hkv) / Hq);
    for (let t = 0; t < tables; t++) {
      const same = q.data[((b * Hq + h) * tables + t) * Tq + i] === k.data[((b * Hkv + kv) * tables + t) * Tk + j];
      if (same) map.data[at]!++;
    }
  }
  return map;
}

/** MagicPIG (arXiv 2410.16179), given what was sampled. */
export function magicPig(
  { q, k, v }: Inputs,
  { bits, tables, sinks = 0, recent = 0 }: { bits: number; tables: number; sinks?: number; recent?: number },
  chosen: NdArray,
  round: Round = float64,
): { o: Result; lse: Result } {
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv, Dv] = v.shape as [number, number, number, number];
  const o = zeros([B, Tq, Hq, Dv]);
  const lse = zeros([B, Tq, Hq]);
  const scale = round(D ** -0.5);
  for (let row = 0; row < lse.data.length; row++) {
    const [h, i, b] = [row % Hq, Math.floor(row / Hq) % Tq, Math.floor(row / Hq / Tq)];
    const kv = Math.floor((h * Hkv) / Hq);
    const n = Math.max(0, i + Tk - Tq + 1);
    const logits: number[] = [];
    const keys: number[] = [];
    const mean = Array.from({ length: D }, (_, c) => {
      let sum = 0;
      for (let j = 0; j < Tk; j++) sum += k.data[((b * Tk + j) * Hkv + kv) * D + c]!;
      return sum / Tk;
    });
    for (let j = 0; j < n; j++) {
      if (!chosen.data[((b * Hq + h) * Tq + i) * Tk + j]) continue;
      const key = (b * Tk + j) * Hkv + kv;
      let [dot, centred, ofQ, ofK] = [0, 0, 0, 0];
      for (let c = 0; c < D; c++) {
        const [x, y] = [q.data[row * D + c]!, k.data[key * D + c]!];
        const z = round(y - mean[c]!);
        dot = round(dot + round(round(scale * x) * y));
        centred = round(centred + round(x * z));
        ofQ = round(ofQ + round(x * x));
        ofK = round(ofK + round(z * z));
      }
      const norm = round(Math.sqrt(round(ofQ * ofK)));
      const cos = norm > 0 ? Math.max(-1, Math.min(1, round(centred / norm))) : 0;
      const p = round(1 - round(Math.acos(cos) / Math.PI));
      const one = round(p ** bits);
      const u = Math.max(
        0,
        round(1 - round((1 - one) ** tables) - round(tables * one * round((1 - one) ** (tables - 1)))),
      );
      const bias = j < sinks || j >= n - recent ? 0 : -round(Math.log(round(u + 1e-4)));
      logits.push(round(dot + bias));
      keys.push(key);
    }
    const most = Math.max(...logits);
    const weights = logits.map((x) => round(Math.exp(round(x - most))));
    const sum = weights.reduce((a, x) => round(a + x), 0);
    lse.data[row] = keys.length === 0 ? Number.NEGATIVE_INFINITY : round(most + round(Math.log(sum)));
    keys.forEach((key, m) => {
      for (let c = 0; c < Dv; c++) {
        o.data[row * Dv + c] = round(o.data[row * Dv + c]! + round(round(weights[m]! / sum) * v.data[key * Dv + c]!));
      }
    });
  }
  return { o, lse };
}
