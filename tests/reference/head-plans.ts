// Patterns that differ from head to head.
import { attention } from './attention.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { type PatternInputs, patternAttention } from './patterns.ts';

const streaming = (i: number, j: number, sinks: number, recent: number) => j <= i && (j < sinks || i - j < recent);

/** Heads with full attention beside heads with sinks and recent keys only, `full` per key/value head (DuoAttention, arXiv 2410.10819). */
export function duoAttention(
  inputs: PatternInputs,
  options: { full: readonly boolean[]; sinks: number; recent: number; scale?: number },
  round?: Round,
) {
  const group = inputs.q.shape[2]! / inputs.k.shape[2]!;
  const { full, sinks, recent } = options;
  const visible = (i: number, j: number, h: number) =>
    full[Math.floor(h / group)] ? j <= i : streaming(i, j, sinks, recent);
  return patternAttention(inputs, visible, options, round);
}

/** What DuoAttention trains: gate * full + (1 - gate) * streaming, gate per key/value head. */
export function duoBlend(
  { gate, ...inputs }: PatternInputs & { gate: NdArray },
  options: { sinks: number; recent: number; scale?: number },
  round: Round = float64,
): { o: Result } {
  const heads = inputs.k.shape[2]!;
  const group = inputs.q.shape[2]! / heads;
  const dv = inputs.v.shape[3]!;
  const every = (full: boolean) =>
    duoAttention(inputs, { ...options, full: new Array<boolean>(heads).fill(full) }, round).o;
  const [full, part] = [every(true), every(false)];
  const o = zeros(full.shape);
  for (let n = 0; n < o.data.length; n++) {
    const h = Math.floor((Math.floor(n / dv) % (heads * group)) / group);
    const alpha = gate.data[h]!;
    o.data[n] = round(round(alpha * full.data[n]!) + round(round(1 - alpha) * part.data[n]!));
  }
  return { o };
}

/** Sinks and a window of alpha + beta N keys for every query head, in whole blocks (MoA, arXiv 2406.14909). */
export function moaAttention(
  inputs: PatternInputs,
  options: {
    alpha: readonly number[];
    beta: readonly number[];
    length?: number;
    sinks?: number;
    blockSize?: number;
    scale?: number;
  },
  round?: Round,
) {
  const { alpha, beta, length = inputs.q.shape[1]!, sinks = 64, blockSize = 64 } = options;
  const window = (h: number) => blockSize * Math.max(1, Math.round((alpha[h]! + beta[h]! * length) / blockSize));
  return patternAttention(inputs, (i, j, h) => streaming(i, j, sinks, window(h)), options, round);
}

/** Window attention plus what full attention had over it, from an earlier step or this one (DiTFastAttn, arXiv 2406.08552). */
export function ditFastAttention(
  { residual, ...inputs }: PatternInputs & { residual?: NdArray },
  options: { window: number; scale?: number },
  round: Round = float64,
): { o: NdArray; residual: NdArray } {
  const near = patternAttention(inputs, (i, j) => Math.abs(i - j) <= options.window, options, round).o;
  const each = (a: NdArray, b: NdArray, f: (x: number, y: number) => number) => ({
    shape: a.shape,
    data: Float64Array.from(a.data, (x, n) => round(f(x, b.data[n]!))),
  });
  if (residual) return { o: each(near, residual, (x, y) => x + y), residual };
  const full = attention(inputs, options.scale === undefined ? {} : { scale: options.scale }, round).o;
  return { o: full, residual: each(full, near, (x, y) => x - y) };
}
