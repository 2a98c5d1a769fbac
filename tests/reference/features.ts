import { dot, exp, float64, log, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** e^x with the logarithms of `round`: where the precision counts in base 2, x is first multiplied by log2 e. */
function expOf(x: number, round: Round): number {
  return exp(round.base2 ? round(x * round(Math.LOG2E)) : x, round);
}

function logOf(x: number, round: Round): number {
  return round.base2 ? round(log(x, round) * round(Math.LN2)) : log(x, round);
}

function rectified(x: number): number {
  return x < 0 ? 0 : x;
}

/** Every element through `f`. */
function each(x: NdArray, f: (value: number) => number): { o: Result } {
  const o = zeros(x.shape);
  for (let n = 0; n < o.data.length; n++) o.data[n] = f(x.data[n]!);
  return { o };
}

/** Every row of the last axis through `f`, given the row and its number. */
function eachRow(x: NdArray, features: number, f: (row: number[], n: number) => number[]): { o: Result } {
  const d = x.shape.at(-1)!;
  const o = zeros([...x.shape.slice(0, -1), features]);
  for (let n = 0; n * d < x.data.length; n++) {
    o.data.set(
      f(
        Array.from({ length: d }, (_, c) => x.data[n * d + c]!),
        n,
      ),
      n * features,
    );
  }
  return { o };
}

function sumOf(values: readonly number[], round: Round): number {
  return values.reduce((sum, value) => round(sum + value), 0);
}

function softplusOf(x: number, round: Round): number {
  if (round === float64) return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  return round(rectified(x) + logOf(round(1 + expOf(-Math.abs(x), round)), round));
}

/** elu(x) + 1 (arXiv 2006.16236). */
export function elu1({ x }: { x: NdArray }, _: object = {}, round: Round = float64) {
  return each(x, (value) => (value > 0 ? round(value + 1) : expOf(value, round)));
}

export function relu({ x }: { x: NdArray }) {
  return each(x, rectified);
}

export function squaredRelu({ x }: { x: NdArray }, _: object = {}, round: Round = float64) {
  return each(x, (value) => round(rectified(value) * rectified(value)));
}

function sigmoidOf(x: number, round: Round): number {
  return round(1 / round(1 + expOf(-x, round)));
}

export function sigmoid({ x }: { x: NdArray }, _: object = {}, round: Round = float64) {
  return each(x, (value) => sigmoidOf(value, round));
}

export function expMap({ x }: { x: NdArray }, _: object = {}, round: Round = float64) {
  return each(x, (value) => expOf(value, round));
}

export function silu({ x }: { x: NdArray }, _: object = {}, round: Round = float64) {
  return each(x, (value) => round(value * sigmoidOf(value, round)));
}

export function tanh({ x }: { x: NdArray }, _: object = {}, round: Round = float64) {
  return each(x, (value) => round(Math.tanh(value)));
}

export function softplus({ x }: { x: NdArray }, _: object = {}, round: Round = float64) {
  return each(x, (value) => softplusOf(value, round));
}

export function logSigmoid(
  { x }: { x: NdArray },
  { temperature = 1 }: { temperature?: number } = {},
  round: Round = float64,
) {
  return each(x, (value) => round(-softplusOf(-value, round) / round(temperature)));
}

function softmaxOf(row: readonly number[], round: Round): number[] {
  const most = Math.max(...row);
  const weights = row.map((value) => (most === Number.NEGATIVE_INFINITY ? 0 : expOf(round(value - most), round)));
  const sum = sumOf(weights, round);
  return weights.map((weight) => (sum === 0 ? 0 : round(weight / sum)));
}

export function softmax({ x }: { x: NdArray }, { scale = 1 }: { scale?: number } = {}, round: Round = float64) {
  return eachRow(x, x.shape.at(-1)!, (row) =>
    softmaxOf(
      row.map((value) => round(round(scale) * value)),
      round,
    ),
  );
}

/** x / sqrt(sum x^2 + eps), zeros for zeros. */
export function l2norm({ x }: { x: NdArray }, { eps = 1e-6 }: { eps?: number } = {}, round: Round = float64) {
  return eachRow(x, x.shape.at(-1)!, (row) => {
    const square = round(dot(row, 0, 1, row, 0, 1, row.length, round) + round(eps));
    return row.map((value) => (value === 0 ? 0 : round(value / round(Math.sqrt(square)))));
  });
}

/** |r| r^p / |r^p|, r = relu(x) (arXiv 2308.00442), zeros for zeros. */
export function focused({ x }: { x: NdArray }, { power = 3 }: { power?: number } = {}, round: Round = float64) {
  return eachRow(x, x.shape.at(-1)!, (row) => {
    const r = row.map(rectified);
    const raised = r.map((value) => round(value ** power));
    const norm = (values: number[]) => round(Math.sqrt(dot(values, 0, 1, values, 0, 1, values.length, round)));
    const [length, sharp] = [norm(r), norm(raised)];
    return raised.map((value) => (value === 0 ? 0 : round(round(length * value) / sharp)));
  });
}

/** phi(q) phi(k) = 1 + y + y^2 / 2, y = scale q k (arXiv 2402.18668). */
export function taylor2(
  { x }: { x: NdArray },
  { scale, layout = 'packed' }: { scale?: number; layout?: 'packed' | 'full' } = {},
  round: Round = float64,
) {
  const d = x.shape.at(-1)!;
  const s = scale ?? d ** -0.5;
  const [linear, square, product] = [Math.sqrt(s), s / Math.SQRT2, s].map(round) as [number, number, number];
  return eachRow(x, layout === 'full' ? 1 + d + d * d : 1 + d + (d * (d + 1)) / 2, (row) => [
    1,
    ...row.map((value) => round(linear * value)),
    ...products(row, square, product, layout, round),
  ]);
}

/** The second-order part of a map: squares, then products of the packed layout, or all products. */
function products(row: number[], square: number, product: number, layout: 'packed' | 'full', round: Round): number[] {
  const d = row.length;
  if (layout === 'full') return row.flatMap((a) => row.map((b) => round(round(square * a) * b)));
  const out = row.map((a) => round(square * round(a * a)));
  for (let i = 0; i < d; i++) for (let j = i + 1; j < d; j++) out.push(round(round(product * row[i]!) * row[j]!));
  return out;
}

/** phi(q) phi(k) = (scale q k)^2 (arXiv 2402.10644). */
export function quadratic(
  { x }: { x: NdArray },
  { scale = 1, layout = 'packed' }: { scale?: number; layout?: 'packed' | 'full' } = {},
  round: Round = float64,
) {
  const d = x.shape.at(-1)!;
  return eachRow(x, layout === 'full' ? d * d : (d * (d + 1)) / 2, (row) =>
    products(row, round(scale), round(scale * Math.SQRT2), layout, round),
  );
}

/** [gamma, c x, alpha x^2]: the second-order Taylor map of e^(D^-1/2 q k) without mixed products. */
export function qtVit(
  { x }: { x: NdArray },
  { alpha, c, gamma = 1 }: { alpha?: number; c?: number; gamma?: number } = {},
  round: Round = float64,
) {
  const d = x.shape.at(-1)!;
  const square = round(alpha ?? d ** -0.5 / Math.SQRT2);
  const linear = round(c ?? d ** -0.25);
  return eachRow(x, 1 + 2 * d, (row) => [
    round(gamma),
    ...row.map((value) => round(linear * value)),
    ...row.map((value) => round(square * round(value * value))),
  ]);
}

/** [r sin a, r cos a], r = relu(x), a = pi (t + offset) / (2 maxLength) (arXiv 2202.08791). */
export function cosine(
  { x }: { x: NdArray },
  { maxLength, offset = 0 }: { maxLength?: number; offset?: number } = {},
  round: Round = float64,
) {
  const [, length = 0, heads = 0, d = 0] = x.shape;
  return eachRow(x, 2 * d, (row, n) => {
    const t = Math.floor(n / heads) % length;
    const angle = (Math.PI * (t + offset)) / (2 * (maxLength ?? length));
    return [Math.sin(angle), Math.cos(angle)].flatMap((factor) =>
      row.map((value) => round(rectified(value) * round(factor))),
    );
  });
}

/** [r roll(r, 1), ..., r roll(r, nu)], r = [relu x, relu -x] (arXiv 2102.11174). */
export function dpfp({ x }: { x: NdArray }, { nu = 4 }: { nu?: number } = {}, round: Round = float64) {
  const n = 2 * x.shape.at(-1)!;
  return eachRow(x, n * nu, (row) => {
    const r = [...row.map(rectified), ...row.map((value) => rectified(-value))];
    return Array.from({ length: nu }, (_, i) =>
      r.map((value, j) => round(value * r[(j + n * nu - i - 1) % n]!)),
    ).flat();
  });
}

/** w x + bias with w [F, D] or [H, F, D]. */
function projected(row: number[], n: number, heads: number, w: NdArray, bias: NdArray | undefined, round: Round) {
  const [features, d] = w.shape.slice(-2) as [number, number];
  const head = w.shape.length === 3 ? n % heads : 0;
  return Array.from({ length: features }, (_, f) => {
    const sum = dot(w.data, (head * features + f) * d, 1, row, 0, 1, d, round);
    return bias ? round(sum + bias.data[head * features + f]!) : sum;
  });
}

interface Projected {
  x: NdArray;
  w: NdArray;
  bias?: NdArray;
}

/** softmax([scale y, -scale y]), y = w x + bias (arXiv 2402.04347). */
export function hedgehog({ x, w, bias }: Projected, { scale = 1 }: { scale?: number } = {}, round: Round = float64) {
  return eachRow(x, 2 * w.shape.at(-2)!, (row, n) => {
    const y = projected(row, n, x.shape.at(-2)!, w, bias, round).map((value) => round(round(scale) * value));
    return softmaxOf([...y, ...y.map((value) => -value)], round);
  });
}

/** relu(w x + bias) (arXiv 2103.13076). */
export function t2r({ x, w, bias }: Projected, _: object = {}, round: Round = float64) {
  return eachRow(x, w.shape.at(-2)!, (row, n) => projected(row, n, x.shape.at(-2)!, w, bias, round).map(rectified));
}

/** m^-1/2 (e^(w y - |y|^2 / 2 - c) + eps), y = D^-1/4 x, or relu(w y) + eps (arXiv 2009.14794). */
export function favor(
  { x, projection: w }: { x: NdArray; projection: NdArray },
  options: { kernel?: 'exp' | 'relu'; stabilizer?: 'row' | 'global' | number; eps?: number } = {},
  round: Round = float64,
) {
  const { kernel = 'exp', stabilizer = 'row', eps = kernel === 'relu' ? 1e-3 : 1e-4 } = options;
  const [features, d] = w.shape.slice(-2) as [number, number];
  const [, length = 1, heads = 1] = x.shape.length === 4 ? x.shape : [1, 1, x.shape.at(-2) ?? 1];
  const scaled = (row: number[]) => row.map((value) => round(round(d ** -0.25) * value));
  const project = (row: number[], n: number) => projected(scaled(row), n, heads, w, undefined, round);
  const dashes: number[][] = [];
  const most = new Map<number, number>();
  const group = (n: number) => Math.floor(n / (heads * length)) * heads + (n % heads);
  eachRow(x, 1, (row, n) => {
    dashes[n] = project(row, n);
    most.set(group(n), Math.max(most.get(group(n)) ?? Number.NEGATIVE_INFINITY, ...dashes[n]));
    return [0];
  });
  const ratio = round(features ** -0.5);
  return eachRow(x, features, (row, n) => {
    const dash = dashes[n]!;
    if (kernel === 'relu') return dash.map((value) => round(rectified(value) + round(eps)));
    const y = scaled(row);
    const half = round(dot(y, 0, 1, y, 0, 1, d, round) / 2);
    const c = stabilizer === 'row' ? Math.max(...dash) : stabilizer === 'global' ? most.get(group(n))! : stabilizer;
    return dash.map((value) => round(ratio * round(expOf(round(round(value - half) - c), round) + round(eps))));
  });
}
