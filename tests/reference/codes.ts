import { type AttentionOptions, attention } from './attention.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { rope } from './rope.ts';

/** How rows are coded; attributes of quantizeKv. */
export interface CodeOptions {
  bits?: number;
  axis?: 'token' | 'channel';
  group?: number;
  symmetric?: boolean;
  outliers?: number;
}

/** What rows x [B,T,H,D] are taken for, and how far from x a number that is no outlier may be. */
export interface Coded {
  value: Result;
  most: Result;
}

/** Groups of one row of elements: places of `group` numbers along channels of a token, or along tokens of a channel. */
function groupsOf(x: NdArray, { axis = 'token', group = 32 }: CodeOptions): number[][] {
  const [B = 0, T = 0, H = 0, D = 0] = x.shape;
  const groups: number[][] = [];
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      if (axis === 'token') {
        for (let t = 0; t < T; t++) {
          for (let c = 0; c < D; c += group) {
            groups.push(Array.from({ length: Math.min(group, D - c) }, (_, i) => offset(x.shape, b, t, h, c + i)));
          }
        }
      } else {
        for (let c = 0; c < D; c++) {
          for (let t = 0; t < T; t += group) {
            groups.push(Array.from({ length: Math.min(group, T - t) }, (_, i) => offset(x.shape, b, t + i, h, c)));
          }
        }
      }
    }
  }
  return groups;
}

/** The `count` numbers of each token and head that are farthest from the mean of its channels, the first of equal ones. */
function farthest(x: NdArray, count: number): Set<number> {
  const d = x.shape[3]!;
  const found = new Set<number>();
  for (let row = 0; row < x.data.length; row += d) {
    const own = Array.from({ length: d }, (_, c) => row + c);
    const mean = own.reduce((sum, n) => sum + x.data[n]!, 0) / d;
    const distance = (n: number) => Math.abs(x.data[n]! - mean);
    for (const n of own.sort((a, b) => distance(b) - distance(a) || a - b).slice(0, count)) found.add(n);
  }
  return found;
}

/** Codes and what they stand for (KIVI, arXiv 2402.02750; KVQuant, arXiv 2401.18079): round((x - offset) / scale), or the nearest of a codebook. */
export function coded(x: NdArray, options: CodeOptions = {}, codebook?: ArrayLike<number>): Coded {
  const { bits = 4, symmetric = false, outliers = 0 } = options;
  const value = zeros(x.shape);
  const most = zeros(x.shape);
  const apart = farthest(x, outliers);
  for (const places of groupsOf(x, options)) {
    const inside = places.filter((n) => !apart.has(n)).map((n) => x.data[n]!);
    const low = Math.min(...inside);
    const high = Math.max(...inside);
    for (const n of places) {
      if (apart.has(n)) {
        value.data[n] = x.data[n]!;
        continue;
      }
      const y = x.data[n]!;
      if (codebook) {
        const [middle, half] = [(low + high) / 2, (high - low) / 2];
        const levels = Array.from(codebook, (level) => middle + half * level);
        const best = levels.reduce((a, b) => (Math.abs(b - y) < Math.abs(a - y) ? b : a));
        value.data[n] = best;
        most.data[n] = Math.abs(best - y);
      } else {
        const top = symmetric ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
        const scale = (symmetric ? Math.max(-low, high) : high - low) / top;
        const from = symmetric ? 0 : low;
        value.data[n] = scale === 0 ? from : from + scale * Math.round((y - from) / scale);
        most.data[n] = scale / 2;
      }
    }
  }
  return { value, most };
}

/** Keys and values that are codes, by what they stand for. */
export interface QuantizedInputs {
  q: NdArray;
  /** What coded keys stand for, [B,T,Hkv,D]. */
  k: NdArray;
  v: NdArray;
  sinks?: NdArray;
  alibiSlopes?: NdArray;
}

/** Attention on what codes stand for; `turn` gives the base of the angles that keys are turned by. */
export function quantizedAttention(
  { k, ...rest }: QuantizedInputs,
  { turn, ...options }: AttentionOptions & { turn?: number } = {},
  round: Round = float64,
): { o: Result; lse: Result } {
  const keys = turn ? rope({ x: k }, { base: turn }).o : k;
  return attention({ ...rest, k: keys }, { causal: rest.q.shape[1]! > 1, ...options }, round);
}
