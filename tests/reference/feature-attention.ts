import { dwConv2d } from './dw-conv2d.ts';
import * as maps from './features.ts';
import { inner, type Recurrence, row, setRow, times } from './linear.ts';
import { kernelAttention, linearAttn, type Normalized, normalized } from './linear-attn.ts';
import { exp, float64, logitFactor, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/**
 * Weights 1 + x + x^2/2 of x = scale q_t k_j, which are e^x to the second order, normalised with eps (Based, arXiv 2402.18668;
 * fla, naive_parallel_based).
 */
export function based(
  inputs: Recurrence,
  options: { scale?: number; eps?: number } = {},
  round: Round = float64,
): { o: Result } {
  return kernelAttention(inputs, options, (x) => round(round(1 + x) + round(round(x * x) / 2)), round);
}

/** Weights (scale q_t k_j)^2, normalised with eps (ReBased, arXiv 2402.10644; fla, naive_parallel_rebased). */
export function rebased(
  inputs: Recurrence,
  options: { scale?: number; eps?: number } = {},
  round: Round = float64,
): { o: Result } {
  return kernelAttention(inputs, options, (x) => round(x * x), round);
}

/** Products of every two elements. */
function pairs(x: readonly number[], round: Round): number[] {
  return x.flatMap((a) => x.map((b) => round(a * b)));
}

/** Linear attention behind maps of each head's rows, normalised with eps. */
function mapped(
  { q, k, ...inputs }: Recurrence,
  { scale, eps = 1e-6 }: { scale?: number; eps?: number },
  phi: { q: (x: number[]) => number[]; k: (x: number[]) => number[] },
  round: Round,
): { o: Result } {
  const factor = round(scale ?? q.shape[3]! ** -0.5);
  const through = (x: NdArray, map: (row: number[]) => number[]): Result => {
    const [batches = 0, length = 0, heads = 0, dk = 0] = x.shape;
    const y = zeros([batches, length, heads, map(new Array<number>(dk).fill(0)).length]);
    for (let b = 0; b < batches; b++)
      for (let t = 0; t < length; t++) for (let h = 0; h < heads; h++) setRow(y, map(row(x, b, t, h)), b, t, h);
    return y;
  };
  const queries = through(q, (x) => phi.q(times(x, factor, round)));
  const { o } = linearAttn({ q: queries, k: through(k, phi.k), ...inputs }, { scale: 1, normalize: true, eps }, round);
  return { o };
}

/** based by states of the features [1, x, x x / 2] of q and [1, x, x x] of k, as it streams. */
export function basedRecurrent(
  inputs: Recurrence,
  options: { scale?: number; eps?: number } = {},
  round: Round = float64,
): { o: Result } {
  const q = (x: number[]) => [1, ...x, ...pairs(x, round).map((y) => round(y / 2))];
  const k = (x: number[]) => [1, ...x, ...pairs(x, round)];
  return mapped(inputs, options, { q, k }, round);
}

/** rebased by states of the features x x, as it streams. */
export function rebasedRecurrent(
  inputs: Recurrence,
  options: { scale?: number; eps?: number } = {},
  round: Round = float64,
): { o: Result } {
  const squares = (x: number[]) => pairs(x, round);
  return mapped(inputs, options, { q: squares, k: squares }, round);
}

/** o_t = sum_j (phi(q_t) phi(k_j)) v_j / denominator(phi(q_t), the phi(k_j) seen) over j <= t, or over all j. */
function featureAttention(
  v: NdArray,
  keyHeads: number,
  causal: boolean,
  features: (b: number, kh: number) => { queries: number[][]; keys: number[][] },
  denominator: (weights: number[], query: number[], keys: number[][]) => number,
  round: Round,
): { o: Result } {
  const [batches = 0, length = 0, heads = 0, dv = 0] = v.shape;
  const o = zeros(v.shape);
  for (let b = 0; b < batches; b++)
    for (let h = 0; h < heads; h++) {
      const { queries, keys } = features(b, Math.floor(h / (heads / keyHeads)));
      const values = Array.from({ length }, (_, j) => row(v, b, j, h));
      for (let t = 0; t < length; t++) {
        const seen = keys.slice(0, causal ? t + 1 : length);
        const weights = seen.map((key) => inner(queries[t]!, key, round));
        const divisor = denominator(weights, queries[t]!, seen);
        const sums = Array.from({ length: dv }, (_, d) =>
          weights.reduce((sum, w, j) => round(sum + round(w * values[j]![d]!)), 0),
        );
        setRow(
          o,
          sums.map((x) => round(x / divisor)),
          b,
          t,
          h,
        );
      }
    }
  return { o };
}

/**
 * phi(x) = m^-1/2 (e^{w x' - |x'|^2/2 - c} + eps) with x' = K^-1/4 x and w the rows of projection [m,K]; c is the largest w x' of a row
 * for q, of all rows of a head for k. Causal sums add 1e-6 to every feature of the sum of keys
 * (Performer, arXiv 2009.14794; lucidrains, performer-pytorch).
 */
export function performer(
  { q, k, v, projection }: { q: NdArray; k: NdArray; v: NdArray; projection: NdArray },
  { causal = true, eps = 1e-4 }: { causal?: boolean; eps?: number } = {},
  round: Round = float64,
): { o: Result } {
  const [, length = 0, keyHeads = 0, dk = 0] = q.shape;
  const m = projection.shape[0]!;
  const factor = logitFactor(round);
  const projected = (x: NdArray, b: number, h: number) =>
    Array.from({ length }, (_, t) => {
      const scaled = row(x, b, t, h).map((value) => round(value * round(dk ** -0.25)));
      return {
        logits: Array.from({ length: m }, (_, i) => round(inner(row(projection, i), scaled, round) * factor)),
        half: round(round(inner(scaled, scaled, round) / 2) * factor),
      };
    });
  const phi = ({ logits, half }: { logits: number[]; half: number }, c: number) =>
    logits.map((x) => round(round(m ** -0.5) * round(exp(round(round(x - half) - c), round) + round(eps))));
  const features = (b: number, kh: number) => {
    const [queries, keys] = [projected(q, b, kh), projected(k, b, kh)];
    const most = keys.reduce((max, { logits }) => Math.max(max, ...logits), Number.NEGATIVE_INFINITY);
    return {
      queries: queries.map((query) => phi(query, Math.max(...query.logits))),
      keys: keys.map((key) => phi(key, most)),
    };
  };
  const denominator = (weights: number[], query: number[], keys: number[][]) =>
    causal
      ? inner(
          query,
          query.map((_, i) => round(keys.reduce((sum, key) => round(sum + key[i]!), 0) + round(1e-6))),
          round,
        )
      : weights.reduce((sum, w) => round(sum + w), 0);
  return featureAttention(v, keyHeads, causal, features, denominator, round);
}

/**
 * Weights relu(q_t) relu(k_j) cos(pi/2 (t - j)/T) by features relu(x) sin and relu(x) cos of pi/2 (t+1)/T, over
 * max(sum of the weights, eps) (cosFormer, arXiv 2202.08791).
 */
export function cosformer(
  { q, k, v }: { q: NdArray; k: NdArray; v: NdArray },
  { causal = true, eps = 1e-6 }: { causal?: boolean; eps?: number } = {},
  round: Round = float64,
): { o: Result } {
  const [, length = 0, keyHeads = 0] = q.shape;
  const phi = (x: NdArray, b: number, h: number) =>
    Array.from({ length }, (_, t) => {
      const angle = round(((Math.PI / 2) * (t + 1)) / length);
      const positive = row(x, b, t, h).map((value) => Math.max(value, 0));
      return [Math.sin(angle), Math.cos(angle)].flatMap((wave) => positive.map((value) => round(value * round(wave))));
    });
  const features = (b: number, kh: number) => ({ queries: phi(q, b, kh), keys: phi(k, b, kh) });
  const denominator = (weights: number[]) =>
    Math.max(
      weights.reduce((sum, w) => round(sum + w), 0),
      round(eps),
    );
  return featureAttention(v, keyHeads, causal, features, denominator, round);
}

/** cosformer by its states, for tokens [offset, offset + T) of at most `maxLength`. */
export function cosformerRecurrent(
  { q, k, ...inputs }: Normalized,
  {
    causal,
    eps = 1e-6,
    offset = 0,
    maxLength = offset + q.shape[1]!,
  }: { causal?: boolean; eps?: number; maxLength?: number; offset?: number } = {},
  round: Round = float64,
) {
  const phi = (x: NdArray) => maps.cosine({ x }, { maxLength, offset: offset + 1 }, round).o;
  const denominator = (query: number[], z: number[]) => Math.max(inner(query, z, round), round(eps));
  return normalized({ q: phi(q), k: phi(k), ...inputs }, { scale: 1, causal }, denominator, round);
}

/** performer with a constant in place of both maxima, by its states. */
export function performerRecurrent(
  { q, k, projection, ...inputs }: Normalized & { projection: NdArray },
  { causal = true, eps = 1e-4, stabilizer }: { causal?: boolean; eps?: number; stabilizer: number },
  round: Round = float64,
) {
  const phi = (x: NdArray) => maps.favor({ x, projection }, { stabilizer, eps }, round).o;
  const denominator = (query: number[], z: number[]) => {
    const raised = causal ? z.map((sum) => round(sum + round(1e-6))) : z;
    return inner(query, raised, round);
  };
  return normalized({ q: phi(q), k: phi(k), ...inputs }, { scale: 1, causal }, denominator, round);
}

// biome-ignore lint/suspicious/noExplicitAny: the options of a map are its own
type Map = (inputs: any, options: any, round: Round) => { o: Result };

interface Behind extends Normalized {
  w?: NdArray;
  bias?: NdArray;
  wK?: NdArray;
  biasK?: NdArray;
  /** [kh,kw,V] or [kh,kw,HV,V] */
  convWeight?: NdArray;
  convBias?: NdArray;
}

/** x [...,V] as [...,HV,V], the same for every head; unchanged if it has `axes` axes already. */
function forHeads(x: NdArray, heads: number, axes: number): NdArray {
  if (x.shape.length === axes) return x;
  const d = x.shape.at(-1)!;
  const y = zeros([...x.shape.slice(0, -1), heads, d]);
  for (let n = 0; n < y.data.length; n++) y.data[n] = x.data[Math.floor(n / (heads * d)) * d + (n % d)]!;
  return y;
}

/** The depthwise convolution of v [B,height x width,HV,V]. */
function convolved(
  v: NdArray,
  weight: NdArray,
  bias: NdArray | undefined,
  height: number,
  width: number,
  round: Round,
) {
  const [b = 0, , heads = 0, dv = 0] = v.shape;
  const channels = heads * dv;
  return dwConv2d(
    {
      x: { shape: [b, height, width, channels], data: v.data },
      weight: { shape: [...weight.shape.slice(0, 2), channels], data: forHeads(weight, heads, 4).data },
      ...(bias && { bias: { shape: [channels], data: forHeads(bias, heads, 2).data } }),
    },
    {},
    round,
  ).o;
}

/** sum_j phi(q_t) phi(k_j) v_j / (sum_j phi(q_t) phi(k_j) + eps), plus the convolution of v that is asked for. */
function behind(map: Map, defaults: { causal: boolean; eps: number }) {
  return (
    { q, k, v, w, bias, wK, biasK, convWeight, convBias, ...states }: Behind,
    { height = 0, width = 0, ...given }: Record<string, number | boolean> & { height?: number; width?: number } = {},
    round: Round = float64,
  ): { o: Result; finalState: Result; finalNormalizer?: Result } => {
    const { causal, eps, ...options } = { ...defaults, ...given };
    const features = (x: NdArray, own?: NdArray, ownBias?: NdArray) =>
      map({ x, ...(own && { w: own }), ...(ownBias && { bias: ownBias }) }, options, round).o;
    const keys = wK ? features(k, wK, biasK) : features(k, w, bias);
    const operands = { q: features(q, w, bias), k: keys, v, ...states };
    const result = linearAttn(operands, { scale: 1, normalize: true, causal, eps }, round);
    if (!convWeight) return result;
    const own = convolved(v, convWeight, convBias, height, width, round);
    for (let n = 0; n < own.data.length; n++) result.o.data[n] = round(result.o.data[n]! + own.data[n]!);
    return result;
  };
}

/** Hedgehog, arXiv 2402.04347. */
export const hedgehog = behind(maps.hedgehog, { causal: true, eps: 1e-10 });
/** Finetuning pretrained transformers into RNNs, arXiv 2103.13076. */
export const t2r = behind(maps.t2r, { causal: true, eps: 1e-10 });
/** Linear transformers are secretly fast weight programmers, arXiv 2102.11174. */
export const dpfp = behind(maps.dpfp, { causal: true, eps: 1e-10 });
/** FLatten Transformer, arXiv 2308.00442. */
export const focused = behind(maps.focused, { causal: false, eps: 1e-6 });
/** SANA, arXiv 2410.10629; NVlabs/Sana, LiteLA. */
export const sana = behind(maps.relu, { causal: false, eps: 1e-15 });
/** SLAB, arXiv 2405.11582; xinghaochen/SLAB. */
export const slab = behind(maps.relu, { causal: false, eps: 1e-6 });
/** QT-ViT. */
export const qtVit = behind(maps.qtVit, { causal: false, eps: 1e-6 });
