/**
 * Host side of the feature maps: each function adds the dispatches that turn rows x [..., D] into features [..., F],
 * and returns the features, a temporary unless `o` is given.
 *
 * x is f32, of one to four axes with the last contiguous, or contiguous with any number. Shapes of x, weights and o are
 * the caller's to check.
 *
 * @module
 */
import type { Kernel } from '../generated/kernels.ts';
import {
  CosineParams,
  DpfpParams,
  FavorParams,
  type FeatureParams,
  FeatureSoftmaxParams,
  FocusedParams,
  L2NormParams,
  PointwiseParams,
  PolynomialParams,
} from '../generated/params.ts';
import { encode, type Layout, type Values } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type Activation, gemm, gemmPack, packedSize } from './gemm.ts';

/** Functions of single elements, by the number the kernel knows them by. */
export const POINTWISE = [
  'elu1',
  'relu',
  'squaredRelu',
  'sigmoid',
  'exp',
  'silu',
  'tanh',
  'softplus',
  'logSigmoid',
] as const;
export type Pointwise = (typeof POINTWISE)[number];

/** Elements of a row where a contiguous tensor is cut at will. */
const SPAN = 4096;
/** Elements that are worth a turn at the work counter. */
const GRAIN = 8192;

/** Rows as kernels number them: strides of [B, T, H, D]. */
type Rows = Pick<FeatureParams, 'x' | 'xStrideB' | 'xStrideT' | 'xStrideH' | 'length' | 'heads' | 'd'> & {
  readonly batch: number;
};

/** x with leading axes of length 1 added, or flattened where it has more than four. */
function rowsOf(x: Tensor): Rows {
  const view = x.shape.length > 4 ? x.reshape([-1, x.shape.at(-1)!]) : x;
  const missing = 4 - view.shape.length;
  const [batch, length, heads, d] = [...new Array<number>(missing).fill(1), ...view.shape] as [
    number,
    number,
    number,
    number,
  ];
  const [xStrideB, xStrideT, xStrideH] = [...new Array<number>(missing).fill(0), ...view.strides] as [
    number,
    number,
    number,
  ];
  return { x: view.address, xStrideB, xStrideT, xStrideH, batch, length, heads, d };
}

/** Shape of features: x's with another last axis. */
function featureShape(x: Tensor, features: number): number[] {
  return [...x.shape.slice(0, -1), features];
}

/** Adds one kernel over all rows. */
function overRows<L extends Layout>(
  b: Builder,
  kernel: Kernel,
  layout: L,
  rows: Rows,
  o: Tensor,
  values: Values<L>,
  cost: { flops: number; scratchBytes?: number },
): void {
  const features = o.shape.at(-1) ?? 1;
  const { batch, ...place } = rows;
  b.dispatch({
    kernel,
    params: encode(layout, { ...place, o: o.address, features } as Values<L>, values),
    items: o.size === 0 ? 0 : batch * rows.length * rows.heads,
    grain: Math.max(1, Math.ceil(GRAIN / Math.max(1, rows.d, features))),
    scratchBytes: cost.scratchBytes ?? 0,
    flops: cost.flops,
  });
}

/** Adds o = factor * map(x), element by element; o may be x if that is contiguous. */
export function pointwise(b: Builder, map: Pointwise, x: Tensor, factor = 1, o = b.temporary(x.shape)): Tensor {
  const size = x.size;
  const flat = {
    xStrideB: 0,
    xStrideT: SPAN,
    xStrideH: 0,
    batch: 1,
    length: Math.ceil(size / SPAN),
    heads: 1,
    d: SPAN,
  };
  const rows = x.contiguous ? { x: x.address, ...flat } : rowsOf(x);
  const { batch, ...place } = rows;
  b.dispatch({
    kernel: 'featurePointwise',
    params: encode(PointwiseParams, {
      ...place,
      o: o.address,
      features: rows.d,
      map: POINTWISE.indexOf(map),
      factor,
      size,
    }),
    items: size === 0 ? 0 : batch * rows.length * rows.heads,
    grain: Math.max(1, Math.ceil(GRAIN / rows.d)),
    flops: 16 * size,
  });
  return o;
}

/** Adds elu(x) + 1. */
export function elu1(b: Builder, x: Tensor, o?: Tensor): Tensor {
  return pointwise(b, 'elu1', x, 1, o);
}

/** Adds max(x, 0). */
export function relu(b: Builder, x: Tensor, o?: Tensor): Tensor {
  return pointwise(b, 'relu', x, 1, o);
}

/** Adds max(x, 0)^2. */
export function squaredRelu(b: Builder, x: Tensor, o?: Tensor): Tensor {
  return pointwise(b, 'squaredRelu', x, 1, o);
}

/** Adds 1 / (1 + e^-x). */
export function sigmoid(b: Builder, x: Tensor, o?: Tensor): Tensor {
  return pointwise(b, 'sigmoid', x, 1, o);
}

/** Adds e^x. */
export function exp(b: Builder, x: Tensor, o?: Tensor): Tensor {
  return pointwise(b, 'exp', x, 1, o);
}

/** Adds x / (1 + e^-x). */
export function silu(b: Builder, x: Tensor, o?: Tensor): Tensor {
  return pointwise(b, 'silu', x, 1, o);
}

/** Adds tanh x. */
export function tanh(b: Builder, x: Tensor, o?: Tensor): Tensor {
  return pointwise(b, 'tanh', x, 1, o);
}

/** Adds ln(1 + e^x). */
export function softplus(b: Builder, x: Tensor, o?: Tensor): Tensor {
  return pointwise(b, 'softplus', x, 1, o);
}

/** Adds ln(1 / (1 + e^-x)) / temperature. */
export function logSigmoid(b: Builder, x: Tensor, { temperature = 1 } = {}, o?: Tensor): Tensor {
  return pointwise(b, 'logSigmoid', x, 1 / temperature, o);
}

/** Adds the softmax of scale * x over the last axis, scale at least 0. */
export function softmax(b: Builder, x: Tensor, { scale = 1 } = {}, o = b.temporary(x.shape)): Tensor {
  const rows = rowsOf(x);
  overRows(b, 'featureSoftmax', FeatureSoftmaxParams, rows, o, { scale, mirrored: 0 }, { flops: 16 * x.size });
  return o;
}

/** Adds x / max(sqrt(sum x^2 + eps), floor) over the last axis, zeros for zeros. */
export function l2norm(b: Builder, x: Tensor, { eps = 1e-6, floor = 0 } = {}, o = b.temporary(x.shape)): Tensor {
  overRows(b, 'featureL2Norm', L2NormParams, rowsOf(x), o, { epsilon: eps, floor }, { flops: 4 * x.size });
  return o;
}

/** Adds |r| r^power / |r^power|, r = max(x, 0), over the last axis, zeros where r is zero. */
export function focused(b: Builder, x: Tensor, { power = 3 } = {}, o = b.temporary(x.shape)): Tensor {
  overRows(b, 'featureFocused', FocusedParams, rowsOf(x), o, { power }, { flops: 12 * x.size });
  return o;
}

/** Monomials of x: factors of the parts; a part without a factor is left out. */
interface Monomials {
  readonly constant?: number;
  readonly linear?: number;
  readonly square?: number;
  readonly product?: number;
  /** Products x_i x_j of all i and j, not only of i < j. */
  readonly full?: boolean;
}

/** Features of a polynomial map of D elements. */
function monomialCount({ constant, linear, square, product, full }: Monomials, d: number): number {
  const products = full ? d * d : (d * (d - 1)) / 2;
  return (
    (constant === undefined ? 0 : 1) +
    (linear === undefined ? 0 : d) +
    (square === undefined ? 0 : d) +
    (product === undefined ? 0 : products)
  );
}

/** Adds [constant, linear x, square x^2, product x_i x_j]. */
function polynomial(b: Builder, x: Tensor, parts: Monomials, given?: Tensor): Tensor {
  const d = x.shape.at(-1)!;
  const { constant, linear, square, product, full = false } = parts;
  const o = given ?? b.temporary(featureShape(x, monomialCount(parts, d)));
  let end = 0;
  const place = (factor: number | undefined, size: number) => {
    if (factor === undefined) return -1;
    const at = end;
    end += size;
    return at;
  };
  const values = {
    constantAt: place(constant, 1),
    linearAt: place(linear, d),
    squareAt: place(square, d),
    productAt: place(product, 0),
    constant: constant ?? 0,
    linear: linear ?? 0,
    square: square ?? 0,
    product: product ?? 0,
    full: full ? 1 : 0,
  };
  overRows(b, 'featurePolynomial', PolynomialParams, rowsOf(x), o, values, { flops: 2 * o.size });
  return o;
}

/** Which products a second-order map holds: each pair once, or every ordered pair. */
export type ProductLayout = 'packed' | 'full';

/** Parts of `taylor2`. */
function taylor2Parts(d: number, { scale = d ** -0.5, layout = 'packed' as ProductLayout } = {}): Monomials {
  const first = { constant: 1, linear: Math.sqrt(scale) };
  if (layout === 'full') return { ...first, product: scale / Math.SQRT2, full: true };
  return { ...first, square: scale / Math.SQRT2, product: scale };
}

/** Adds the map with phi(q) phi(k) = 1 + y + y^2 / 2, y = scale q k. */
export function taylor2(
  b: Builder,
  x: Tensor,
  options: { scale?: number; layout?: ProductLayout } = {},
  o?: Tensor,
): Tensor {
  return polynomial(b, x, taylor2Parts(x.shape.at(-1)!, options), o);
}

/** Adds the map with phi(q) phi(k) = (scale q k)^2. */
export function quadratic(
  b: Builder,
  x: Tensor,
  { scale = 1, layout = 'packed' as ProductLayout } = {},
  o?: Tensor,
): Tensor {
  const parts = layout === 'full' ? { product: scale, full: true } : { square: scale, product: scale * Math.SQRT2 };
  return polynomial(b, x, parts, o);
}

/** Factors of `qtVit`. */
export interface QtVitFactors {
  readonly alpha?: number;
  readonly c?: number;
  readonly gamma?: number;
}

/** Adds [gamma, c x, alpha x^2]. */
export function qtVit(b: Builder, x: Tensor, { alpha, c, gamma }: QtVitFactors = {}, o?: Tensor): Tensor {
  const scale = x.shape.at(-1)! ** -0.5;
  return polynomial(
    b,
    x,
    { constant: gamma ?? 1, linear: c ?? Math.sqrt(scale), square: alpha ?? scale / Math.SQRT2 },
    o,
  );
}

/** Adds [r sin a, r cos a], r = max(x, 0), a = pi (t + offset) / (2 maxLength), for x [B, T, H, D]. */
export function cosine(
  b: Builder,
  x: Tensor,
  { maxLength = Math.max(1, x.shape[1]!), offset = 0 } = {},
  given?: Tensor,
): Tensor {
  const [, length = 0, , d = 0] = x.shape;
  const o = given ?? b.temporary(featureShape(x, 2 * d));
  const angles = Float32Array.from({ length: 2 * length }, (_, i) => {
    const angle = (Math.PI * ((i % length) + offset)) / (2 * maxLength);
    return i < length ? Math.cos(angle) : Math.sin(angle);
  });
  const cos = b.table(new Int32Array(angles.buffer));
  overRows(b, 'featureCosine', CosineParams, rowsOf(x), o, { cos, sin: cos + 4 * length }, { flops: 4 * x.size });
  return o;
}

/** Adds [r roll(r, 1), ..., r roll(r, nu)], r = [max(x, 0), max(-x, 0)]. */
export function dpfp(b: Builder, x: Tensor, { nu = 4 } = {}, given?: Tensor): Tensor {
  const d = x.shape.at(-1)!;
  const o = given ?? b.temporary(featureShape(x, 2 * d * nu));
  const cost = { flops: o.size, scratchBytes: 4 * (4 * d + 4) };
  overRows(b, 'featureDpfp', DpfpParams, rowsOf(x), o, { shifts: nu }, cost);
  return o;
}

/** A matrix [D, F] in the panels of the matrix-product engine. */
interface Packed {
  readonly k: number;
  readonly n: number;
  readonly panels: Tensor;
}

/** A linear map of rows: w [F, D], or [H, F, D] for each head its own, or [D, F] packed. */
export interface Weights {
  readonly w: Tensor | Packed;
  /** [F] or [H, F], as w. */
  readonly bias?: Tensor | undefined;
}

/** D and F of a linear map, and in how many panels for how many heads it lies. */
function panelsOf(b: Builder, w: Tensor | Packed): { d: number; features: number; panels: Tensor; perHead: boolean } {
  if ('panels' in w) return { d: w.k, features: w.n, panels: w.panels, perHead: false };
  const [features, d] = w.shape.slice(-2) as [number, number];
  const perHead = w.shape.length === 3;
  const panels = b.temporary([(perHead ? w.shape[0]! : 1) * packedSize(d, features)]);
  gemmPack(b, w, true, panels.address);
  return { d, features, panels, perHead };
}

/**
 * Adds o = activation(w x + bias), o [..., F] contiguous: one matrix product if the rows lie in order and share their
 * weights, else one for each head over the batch, or for each batch over the heads.
 */
export function project(
  b: Builder,
  x: Tensor,
  { w, bias }: Weights,
  activation: Activation = 'none',
  given?: Tensor,
): Tensor {
  const { d, features, panels, perHead } = panelsOf(b, w);
  const o = given ?? b.temporary(featureShape(x, features));
  if (o.size === 0) return o;
  const rows = rowsOf(x);
  const { batch, length, heads } = rows;
  const call = {
    a: rows.x,
    aStride: d,
    bPack: panels.address,
    o: o.address,
    oStride: features,
    bias: bias?.address ?? 0,
    m: batch * length * heads,
    k: d,
    n: features,
    activation,
  };
  if (x.contiguous && !perHead) {
    gemm(b, call);
    return o;
  }
  const bStrideB = perHead ? packedSize(d, features) : 0;
  const step = { ...call, m: length, aStride: rows.xStrideT, oStride: heads * features };
  if (batch < heads && !(bias && perHead)) {
    for (let i = 0; i < batch; ++i) {
      gemm(b, {
        ...step,
        a: rows.x + 4 * i * rows.xStrideB,
        o: o.address + 4 * i * length * heads * features,
        batch: [heads, rows.xStrideH, bStrideB, features],
      });
    }
    return o;
  }
  for (let h = 0; h < heads; ++h) {
    gemm(b, {
      ...step,
      a: rows.x + 4 * h * rows.xStrideH,
      bPack: panels.address + 4 * h * bStrideB,
      o: o.address + 4 * h * features,
      bias: bias ? bias.address + (perHead ? 4 * h * features : 0) : 0,
      batch: [batch, rows.xStrideB, 0, length * heads * features],
    });
  }
  return o;
}

/** Adds softmax([scale y, -scale y]), y = w x + bias. */
export function hedgehog(b: Builder, x: Tensor, weights: Weights, { scale = 1 } = {}, given?: Tensor): Tensor {
  const y = project(b, x, weights);
  const features = y.shape.at(-1)!;
  const o = given ?? b.temporary(featureShape(x, 2 * features));
  overRows(b, 'featureSoftmax', FeatureSoftmaxParams, rowsOf(y), o, { scale, mirrored: 1 }, { flops: 16 * o.size });
  return o;
}

/** Adds max(w x + bias, 0). */
export function t2r(b: Builder, x: Tensor, weights: Weights, o?: Tensor): Tensor {
  return project(b, x, weights, 'relu', o);
}

/** What is subtracted from the exponents of `favor`. */
export type Stabilizer = 'row' | 'global' | number;

/** Options of `favor`. */
export interface FavorChoices {
  readonly kernel?: 'exp' | 'relu';
  readonly stabilizer?: Stabilizer;
  readonly eps?: number;
}

/**
 * Adds m^-1/2 (e^(w y - |y|^2 / 2 - c) + eps), y = D^-1/4 x, for projections w [m, D] or [H, m, D]; or max(w y, 0) + eps.
 * c is a constant, each row's largest w y, or the largest over T and the features (x [B, T, H, D]).
 */
export function favor(b: Builder, x: Tensor, w: Tensor | Packed, choices: FavorChoices = {}, given?: Tensor): Tensor {
  const { kernel = 'exp', stabilizer = 'row' } = choices;
  const d = x.shape.at(-1)!;
  const relu = kernel === 'relu';
  const { eps = relu ? 1e-3 : 1e-4 } = choices;
  const o = project(b, x, { w }, 'none', given);
  const features = o.shape.at(-1)!;
  const rows = rowsOf(x);
  const constant = typeof stabilizer === 'number' ? stabilizer : 0;
  const global = stabilizer === 'global' && !relu;
  const values = {
    scale: d ** -0.25,
    square: d ** -0.5 / 2,
    ratio: relu ? 1 : features ** -0.5,
    epsilon: eps,
    stabilizer: global ? 2 : stabilizer === 'row' ? 1 : 0,
    constant,
    maxima: global ? b.temporary([rows.batch, rows.heads]).address : 0,
    relu: relu ? 1 : 0,
  };
  if (global && o.size > 0) {
    const { batch, ...place } = rows;
    b.dispatch({
      kernel: 'favorMaxima',
      params: encode(FavorParams, { ...place, o: o.address, features }, values),
      items: batch * rows.heads,
      flops: o.size,
    });
  }
  overRows(b, 'favor', FavorParams, rows, o, values, { flops: 16 * o.size });
  return o;
}
