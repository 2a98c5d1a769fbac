import type { AttentionInputs, AttentionOptions } from './attention.ts';
import { at, atBroadcast, type NdArray, offset, type Result, zeros } from './ndarray.ts';

/** How attention is rounded. */
export interface Rounding {
  kind: 'int8' | 'sage' | 'sage2' | 'sage3' | 'fp8';
  smoothV?: boolean;
  hadamard?: boolean;
}

type Rows = number[][];

/** Every number >= 0 of a small float format, by its code. */
function formatOf(exponents: number, mantissaBits: number, bias: number, most: number): number[] {
  const found: number[] = [];
  const steps = 2 ** mantissaBits;
  for (let exponent = 0; exponent < 2 ** exponents; exponent++) {
    for (let m = 0; m < steps; m++) {
      const x = exponent === 0 ? (m / steps) * 2 ** (1 - bias) : (1 + m / steps) * 2 ** (exponent - bias);
      if (x <= most) found.push(x);
    }
  }
  return found;
}

const E4M3 = formatOf(4, 3, 7, 448);
const E2M1 = formatOf(2, 1, 1, 6);

/** The nearest number of a format, of two the one with an even code; beyond its largest, that one. */
export function nearest(format: readonly number[], x: number): number {
  if (!Number.isFinite(x)) return Number.NaN;
  let code = 0;
  for (let n = 1; n < format.length; n++) {
    const [now, next] = [Math.abs(Math.abs(x) - format[code]!), Math.abs(Math.abs(x) - format[n]!)];
    if (next < now || (next === now && n % 2 === 0)) code = n;
  }
  return Math.sign(x) * format[code]!;
}

export const e4m3 = (x: number) => nearest(E4M3, x);
export const e2m1 = (x: number) => nearest(E2M1, x);

const halfAway = (x: number) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
const most = (xs: readonly number[]) => xs.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, c) => sum + x * b[c]!, 0);

/** Numbers rounded with one scale, to integers up to `steps` or to a format. */
function withScale(groups: number[][], steps: number, round: (x: number) => number): number[][] {
  const unit = most(groups.flat()) / steps;
  return groups.map((xs) => xs.map((x) => (unit === 0 ? 0 : round(x / unit) * unit)));
}

/** NVFP4: groups of 16. */
function fp4(xs: readonly number[]): number[] {
  const found: number[] = [];
  for (let i = 0; i < xs.length; i += 16) {
    const group = xs.slice(i, i + 16);
    const scale = e4m3(most(group) / 6);
    found.push(...group.map((x) => (scale === 0 ? 0 : e2m1(x / scale) * scale)));
  }
  return found;
}

function meanOf(rows: Rows): number[] {
  return (rows[0] ?? []).map((_, c) => rows.reduce((sum, row) => sum + row[c]!, 0) / rows.length);
}

const less = (rows: Rows, mean: readonly number[]) => rows.map((row) => row.map((x, c) => x - mean[c]!));

/** Rows in groups by a number of each. */
function byGroup(rows: Rows, groupOf: (i: number) => number, round: (group: Rows) => Rows): Rows {
  const found: Rows = [];
  for (const group of new Set(rows.map((_, i) => groupOf(i)))) {
    const members = rows.map((_, i) => i).filter((i) => groupOf(i) === group);
    const rounded = round(members.map((i) => rows[i]!));
    members.forEach((i, n) => {
      found[i] = rounded[n]!;
    });
  }
  return found;
}

/** The row times signs and the Hadamard matrix of the next power of two, over its square root. */
function turned(row: readonly number[]): number[] {
  const n = 2 ** Math.ceil(Math.log2(row.length));
  const sign = (i: number) => (Math.imul(i, 0x9e3779b1) >>> 31 ? -1 : 1);
  const parity = (x: number): number => (x === 0 ? 0 : (x & 1) ^ parity(x >>> 1));
  return Array.from({ length: n }, (_, j) =>
    row.reduce((sum, x, i) => sum + (x * sign(i) * (parity(i & j) ? -1 : 1)) / Math.sqrt(n), 0),
  );
}

/** Queries of a sequence as their products see them, and what is taken off each. */
function roundQueries(q: Rows, { kind, hadamard }: Rounding): { rounded: Rows; mean: Rows } {
  const block = (i: number) => Math.floor(i / 128);
  const none = q.map((row) => row.map(() => 0));
  if (kind === 'int8') return { rounded: q.map((row) => withScale([row], 63, halfAway)[0]!), mean: none };
  if (kind === 'sage') return { rounded: byGroup(q, block, (rows) => withScale(rows, 127, halfAway)), mean: none };
  if (kind === 'fp8') {
    const rows = hadamard ? q.map(turned) : q;
    return { rounded: byGroup(rows, block, (group) => withScale(group, 448, e4m3)), mean: none };
  }
  const mean = byGroup(q, block, (rows) => rows.map(() => meanOf(rows)));
  const smooth = q.map((row, i) => row.map((x, c) => x - mean[i]![c]!));
  if (kind === 'sage3') return { rounded: smooth.map(fp4), mean };
  const group = (i: number) => Math.floor(i / 32) * 8 + (i % 8);
  return { rounded: byGroup(smooth, group, (rows) => withScale(rows, 127, halfAway)), mean };
}

/** Keys likewise, from keys less their mean. */
function roundKeys(k: Rows, { kind, hadamard }: Rounding): Rows {
  const block = (j: number) => Math.floor(j / 64);
  if (kind === 'int8') return k.map((row) => withScale([row], 63, halfAway)[0]!);
  if (kind === 'sage') return byGroup(k, block, (rows) => withScale(rows, 127, halfAway));
  if (kind === 'sage3') return k.map(fp4);
  if (kind === 'fp8') return byGroup(hadamard ? k.map(turned) : k, block, (rows) => withScale(rows, 448, e4m3));
  return byGroup(
    k,
    (j) => block(j) * 4 + Math.floor((j % 8) / 2),
    (rows) => withScale(rows, 127, halfAway),
  );
}

/** Values, by column and groups of keys. */
function roundValues(v: Rows, { kind }: Rounding): Rows {
  const columns = (rows: Rows, round: (column: number[]) => number[]) => {
    const rounded = (rows[0] ?? []).map((_, c) => round(rows.map((row) => row[c]!)));
    return rows.map((row, j) => row.map((_, c) => rounded[c]![j]!));
  };
  const block = (j: number) => Math.floor(j / 64);
  if (kind === 'sage') return v;
  if (kind === 'int8') return byGroup(v, block, (rows) => columns(rows, (x) => withScale([x], 63, halfAway)[0]!));
  if (kind === 'sage2') return columns(v, (x) => withScale([x], 448, e4m3)[0]!);
  if (kind === 'sage3') return byGroup(v, block, (rows) => columns(rows, fp4));
  return byGroup(v, block, (rows) => withScale(rows, 448, e4m3));
}

/** Weights of one block of 64 keys, relative to e^m; `scores` has a hole where a key is hidden. */
function roundWeights(scores: (number | undefined)[], m: number, { kind }: Rounding): (number | undefined)[] {
  const each = (f: (s: number) => number) => scores.map((s) => (s === undefined ? undefined : f(s)));
  if (kind === 'sage') return each((s) => Math.exp(s - m));
  if (kind === 'sage2') return each((s) => e4m3(448 * Math.exp(s - m)) / 448);
  if (kind === 'fp8') return each((s) => e4m3(256 * Math.exp(s - m)) / 256);
  if (kind === 'int8') {
    const top = scores.reduce((a: number, s) => Math.max(a, s ?? Number.NEGATIVE_INFINITY), Number.NEGATIVE_INFINITY);
    return each((s) => (Math.round(127 * Math.exp(s - top)) / 127) * Math.exp(top - m));
  }
  const levels = fp4(scores.map((s) => (s === undefined ? 0 : 448 * 6 * Math.exp(s - m))));
  return scores.map((s, j) => (s === undefined ? undefined : levels[j]! / (448 * 6)));
}

interface Span {
  qFrom: number;
  qTo: number;
  kFrom: number;
  kTo: number;
}

function spans({ q, k, cuSeqlens, cuSeqlensK = cuSeqlens }: AttentionInputs): Span[] {
  if (!cuSeqlens || !cuSeqlensK) return [{ qFrom: 0, qTo: q.shape[1]!, kFrom: 0, kTo: k.shape[1]! }];
  return Array.from({ length: cuSeqlens.data.length - 1 }, (_, n) => ({
    qFrom: at(cuSeqlens, n),
    qTo: at(cuSeqlens, n + 1),
    kFrom: at(cuSeqlensK, n),
    kTo: at(cuSeqlensK, n + 1),
  }));
}

function rowsOf(x: NdArray, b: number, from: number, to: number, h: number): Rows {
  const d = x.shape[3]!;
  return Array.from({ length: to - from }, (_, n) =>
    Array.from({ length: d }, (_, c) => x.data[offset(x.shape, b, from + n, h, c)]!),
  );
}

/**
 * Attention on rounded numbers, exact between the roundings, which are where the methods have them: SageAttention (arXiv 2410.02367),
 * SageAttention2 (2411.10958), SageAttention3 (2505.11594), FlashAttention-3 (2407.08608), and int8. Rows are of blocks of 128 queries and
 * 64 keys of their sequence. Weights of sage2, sage3 and fp8 are rounded relative to the largest score up to their block; the
 * denominator sums them before they are rounded.
 */
export function quantisedAttention(
  inputs: AttentionInputs,
  options: AttentionOptions,
  rounding: Rounding,
): { o: Result; lse: Result } {
  const { q, k, v, bias, mask, sinks } = inputs;
  const [batches = 0, tq = 0, hq = 0, d = 0] = q.shape;
  const [hkv = 1, dv = 1] = v.shape.slice(2);
  const { causal = false, window = [-1, -1], scale = d ** -0.5 } = options;
  const o = zeros([batches, tq, hq, dv]);
  const lse = zeros([batches, tq, hq]);
  lse.data.fill(Number.NEGATIVE_INFINITY);
  for (let b = 0; b < batches; b++) {
    for (const span of spans(inputs)) {
      for (let h = 0; h < hq; h++) {
        const kvHead = Math.floor(h / (hq / hkv));
        const queries = rowsOf(q, b, span.qFrom, span.qTo, h);
        const keys = rowsOf(k, b, span.kFrom, span.kTo, kvHead);
        const values = rowsOf(v, b, span.kFrom, span.kTo, kvHead);
        const kMean = rounding.kind === 'fp8' ? meanOf(keys).map(() => 0) : meanOf(keys);
        const vMean = rounding.smoothV ? meanOf(values) : meanOf(values).map(() => 0);
        const smooth = less(keys, kMean);
        const qs = roundQueries(queries, rounding);
        const ks = roundKeys(smooth, rounding);
        const vs = roundValues(less(values, vMean), rounding);
        queries.forEach((row, i) => {
          const own = i + keys.length - queries.length;
          const sees = (j: number) =>
            (!causal || j <= own) &&
            (window[0] < 0 || j >= own - window[0]) &&
            (window[1] < 0 || j <= own + window[1]) &&
            (!mask || atBroadcast(mask, b, h, span.qFrom + i, span.kFrom + j) !== 0);
          const shift = keys.length === 0 ? 0 : scale * dot(row, kMean);
          const score = (j: number) =>
            scale * (dot(qs.rounded[i]!, ks[j]!) + dot(qs.mean[i]!, smooth[j]!)) +
            (bias ? atBroadcast(bias, b, h, span.qFrom + i, span.kFrom + j) : 0);
          let m = Number.NEGATIVE_INFINITY;
          let l = 0;
          let sum = Array.from({ length: dv }, () => 0);
          for (let first = 0; first < keys.length; first += 64) {
            const scores = Array.from({ length: Math.min(64, keys.length - first) }, (_, n) =>
              sees(first + n) ? score(first + n) : undefined,
            );
            const top = Math.max(m, ...scores.filter((s) => s !== undefined));
            if (top === Number.NEGATIVE_INFINITY) continue;
            const old = Math.exp(m - top);
            m = top;
            l *= old;
            sum = sum.map((x) => x * old);
            const weights = roundWeights(scores, m, rounding);
            scores.forEach((s, n) => {
              if (s === undefined) return;
              l += Math.exp(s - m);
              sum = sum.map((x, c) => x + weights[n]! * vs[first + n]![c]!);
            });
          }
          sum = sum.map((x, c) => x + l * (vMean[c] ?? 0));
          const sink = sinks ? at(sinks, h) - shift : Number.NEGATIVE_INFINITY;
          const top = Math.max(m, sink);
          if (top === Number.NEGATIVE_INFINITY) return;
          const total = l * Math.exp(m - top) + Math.exp(sink - top);
          const share = Math.exp(m - top) / total;
          sum.forEach((x, c) => {
            o.data[offset(o.shape, b, span.qFrom + i, h, c)] = m === Number.NEGATIVE_INFINITY ? 0 : x * share;
          });
          lse.data[offset(lse.shape, b, span.qFrom + i, h)] = top + Math.log(total) + shift;
        });
      }
    }
  }
  return { o, lse };
}
