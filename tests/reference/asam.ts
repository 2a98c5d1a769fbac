import { attention } from './attention.ts';
import { dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Weights of the gate by name, linear layers as [out, in]; biases may be absent. */
export type GateWeights = Record<string, NdArray>;

/** Mean of tokens [first, last) of x [B,T,M] for each channel. */
function mean(x: NdArray, b: number, first: number, last: number, round: Round): number[] {
  const M = x.shape[2]!;
  return Array.from({ length: M }, (_, c) => {
    let sum = 0;
    for (let t = first; t < last; t++) sum = round(sum + x.data[offset(x.shape, b, t, c)]!);
    return round(sum / (last - first));
  });
}

function linear(x: readonly number[], weight: NdArray, bias: NdArray | undefined, round: Round): number[] {
  const [rows = 0, columns = 0] = weight.shape;
  return Array.from({ length: rows }, (_, r) =>
    round(dot(weight.data, r * columns, 1, x, 0, 1, columns, round) + (bias?.data[r] ?? 0)),
  );
}

/** erf(x) by its Taylor series, in float64; tests keep x where that converges well. */
export function erf(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const sigmoid = (x: number, round: Round) => round(1 / round(1 + round(Math.exp(-x))));

/** Gate, complexity and confidence [B,H] of x [B,T,M]: AdaptiveGate of asam-attention, which never drops out. */
export function asamGate(
  x: NdArray,
  weights: GateWeights,
  pools = 4,
  round: Round = float64,
): { gate: Result; complexity: Result; confidence: Result } {
  const [B = 0, T = 0, M = 0] = x.shape;
  const H = weights.threshold!.shape[0]!;
  const out = { gate: zeros([B, H]), complexity: zeros([B, H]), confidence: zeros([B, H]) };
  for (let b = 0; b < B; b++) {
    const whole = mean(x, b, 0, T, round);
    const bins: number[][] = [];
    for (let i = 0; i < pools; i++) {
      const size = Math.max(1, Math.floor(M / 2 ** i));
      for (let n = 0; n < size; n++) {
        bins.push(mean(x, b, Math.floor((n * T) / size), Math.ceil(((n + 1) * T) / size), round));
      }
    }
    const scores = bins.map((bin) => dot(bin, 0, 1, whole, 0, 1, M, round));
    const most = Math.max(...scores);
    const exps = scores.map((s) => round(Math.exp(round(s - most))));
    const total = exps.reduce((sum, e) => round(sum + e), 0);
    const pooled = bins.map((bin, n) => {
      const share = round(exps[n]! / total);
      return bin.reduce((sum, value) => round(sum + round(value * share)), 0);
    });
    const raw = linear(pooled, weights.featureWeight!, weights.featureBias, round);
    const centre = round(raw.reduce((sum, y) => round(sum + y), 0) / raw.length);
    const variance = round(raw.reduce((sum, y) => round(sum + round(round(y - centre) ** 2)), 0) / raw.length);
    const hidden = raw.map((y, n) => {
      const unit = round(round(y - centre) / round(Math.sqrt(round(variance + 1e-5))));
      const z = round(round(unit * (weights.normWeight?.data[n] ?? 1)) + (weights.normBias?.data[n] ?? 0));
      return round(round(0.5 * z) * round(1 + round(erf(z / Math.SQRT2))));
    });
    const head = (name: string) => {
      const inner = linear(hidden, weights[`${name}Weight1`]!, weights[`${name}Bias1`], round).map((y) =>
        Math.max(0, y),
      );
      return linear(inner, weights[`${name}Weight2`]!, weights[`${name}Bias2`], round);
    };
    const [complexity, confidence] = [head('complexity'), head('confidence').map((y) => sigmoid(y, round))];
    for (let h = 0; h < H; h++) {
      const apart = round(weights.threshold!.data[h]! - complexity[h]!);
      const logit = round(round(apart * confidence[h]!) / Math.abs(weights.temperature!.data[0]!));
      out.gate.data[b * H + h] = sigmoid(logit, round);
      out.complexity.data[b * H + h] = complexity[h]!;
      out.confidence.data[b * H + h] = confidence[h]!;
    }
  }
  return out;
}

/** Soft assignments [B,T,H,C]: softmax of cosines with centroids [H,C,D] over temperature. */
export function assignments(x: NdArray, centroids: NdArray, temperature: number): Result {
  const [B = 0, T = 0, H = 0, D = 0] = x.shape;
  const C = centroids.shape[1]!;
  const out = zeros([B, T, H, C]);
  const length = (array: NdArray, from: number) => Math.sqrt(dot(array.data, from, 1, array.data, from, 1, D, float64));
  for (let row = 0; row < B * T * H; row++) {
    const h = row % H;
    const logits = Array.from({ length: C }, (_, c) => {
      const at = (h * C + c) * D;
      const product = dot(x.data, row * D, 1, centroids.data, at, 1, D, float64);
      return product / (length(x, row * D) || 1) / (length(centroids, at) || 1) / temperature;
    });
    const most = Math.max(...logits);
    const exps = logits.map((s) => Math.exp(s - most));
    const sum = exps.reduce((all, e) => all + e, 0);
    out.data.set(
      exps.map((e) => e / sum),
      row * C,
    );
  }
  return out;
}

/** Which pairs (b, h, i, j) the sparse branch sees. */
export type Seen = (b: number, h: number, i: number, j: number) => boolean;

/** local, strided and hierarchical as asam-attention builds their masks. */
export const patterns = {
  local:
    (windowSize: number): Seen =>
    (_b, _h, i, j) =>
      j >= i - Math.floor(windowSize / 2) && j < i + Math.floor(windowSize / 2) + 1,
  strided:
    (stride: number, localWindow: number): Seen =>
    (_b, _h, i, j) =>
      (j >= i - localWindow && j < i + localWindow + 1) || j % stride === 0,
  hierarchical: (scales: readonly number[], weights: NdArray | undefined, heads: number): Seen => {
    const shares = Array.from({ length: heads }, (_, h) => {
      const exps = scales.map((_, n) => Math.exp(weights?.data[n * heads + h] ?? 1));
      return exps.map((e) => e / exps.reduce((sum, x) => sum + x, 0));
    });
    return (_b, h, i, j) =>
      scales.reduce((sum, stride, n) => {
        const shown = patterns.strided(stride, Math.floor(stride / 4))(0, h, i, j);
        return sum + (shown ? shares[h]![n]! : 0);
      }, 0) > 0.5;
  },
};

/** g sparse + (1 - g) dense, or (hard) the branch that weighs more: o [B,T,H,Dv]. */
export function asam(
  { q, k, v, gate }: { q: NdArray; k: NdArray; v: NdArray; gate: NdArray },
  seen: Seen,
  { scale, gating = 'soft' }: { scale?: number; gating?: 'soft' | 'hard' } = {},
  round: Round = float64,
): { o: Result } {
  const [B = 0, T = 0, H = 0] = q.shape;
  const Dv = v.shape[3]!;
  const mask = { shape: [B, H, T, T], data: new Uint8Array(B * H * T * T) };
  for (let n = 0; n < mask.data.length; n++) {
    const [j, i, h, b] = [n % T, Math.floor(n / T) % T, Math.floor(n / (T * T)) % H, Math.floor(n / (T * T * H))];
    mask.data[n] = seen(b, h, i, j) ? 1 : 0;
  }
  const options = scale === undefined ? {} : { scale };
  const dense = attention({ q, k, v }, options, round).o;
  const sparse = attention({ q, k, v, mask }, options, round).o;
  const o = zeros(dense.shape);
  for (let n = 0; n < o.data.length; n++) {
    const [h, b] = [Math.floor(n / Dv) % H, Math.floor(n / (Dv * H * T))];
    const given = gate.data[b * H + h]!;
    const g = gating === 'hard' ? Number(given > 0.5) : given;
    o.data[n] = round(round(g * sparse.data[n]!) + round(round(1 - g) * dense.data[n]!));
  }
  return { o };
}
