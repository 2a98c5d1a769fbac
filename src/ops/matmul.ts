/**
 * Matrix products with packed weights.
 *
 * @module
 */
import { ACTIVATIONS, type Activation, gemm, gemmPack, packedSize } from '../engines/gemm.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTensor,
  expectTypes,
  matchShapes,
} from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** A matrix [K, N] laid out for `matmul`; made by `packMatrix`. */
export class PackedMatrix {
  readonly k: number;
  readonly n: number;
  /** @internal */
  readonly panels: Tensor;

  /** @internal */
  constructor(k: number, n: number, panels: Tensor) {
    this.k = k;
    this.n = n;
    this.panels = panels;
  }

  /** Frees the panels. @throws DisposedError if they were freed before. */
  dispose(): void {
    this.panels.dispose();
  }

  [Symbol.dispose](): void {
    this.panels[Symbol.dispose]();
  }
}

/** Operands of `matmul`. */
export interface MatmulInputs {
  /** f32 [..., M, K] */
  readonly a: Tensor;
  /** f32, f16 or bf16 [K, N] ([N, K] with transposeB), or a packed matrix. */
  readonly b: Tensor | PackedMatrix;
  /** f32 [N] */
  readonly bias?: Tensor;
}

/** Options of `matmul`. */
export interface MatmulOptions {
  /** b lies as [N, K], as the weights of a linear layer do. Default false. */
  readonly transposeB?: boolean;
  /** Applied to each element of the result. Default 'none'. */
  readonly activation?: Activation;
}

function planPack(b: Builder, matrix: Tensor, transposeB: boolean): PackedMatrix {
  matchShapes('packMatrix', { b: matrix }, { b: transposeB ? 'N K' : 'K N' });
  expectTypes('packMatrix', { b: matrix }, ['f32', 'f16', 'bf16']);
  expectRows('packMatrix', { b: matrix });
  const [rows, columns] = matrix.shape as [number, number];
  const [k, n] = transposeB ? [columns, rows] : [rows, columns];
  const panels = b.output([packedSize(k, n)]);
  gemmPack(b, matrix, transposeB, panels.address);
  return new PackedMatrix(k, n, panels);
}

/** Lays out a product. */
export function planMatmul(b: Builder, inputs: MatmulInputs, options: MatmulOptions): { o: Tensor } {
  const op = 'matmul';
  expectNames(op, 'input', inputs, ['a', 'b', 'bias']);
  expectNames(op, 'option', options, ['transposeB', 'activation']);
  const { transposeB = false, activation = 'none' } = options;
  if (!ACTIVATIONS.includes(activation)) {
    throw new OptionError(`${op}: activation is '${activation}', expected ${ACTIVATIONS.join(', ')}`);
  }
  const { a, bias } = inputs;
  expectTensor(op, 'a', a, '[..., M, K]');
  if (a.shape.length < 2) throw new ShapeError(`${op}: a has shape [${a.shape}], expected [..., M, K]`);
  expectTypes(op, { a, bias }, ['f32']);
  expectContiguous(op, { a, bias });
  const packed = inputs.b instanceof PackedMatrix ? inputs.b : undefined;
  let k: number;
  let n: number;
  let panels: Tensor;
  if (packed) {
    if (transposeB) throw new OptionError(`${op}: transposeB was given with a packed matrix; give it to packMatrix`);
    ({ k, n, panels } = packed);
  } else {
    const matrix = inputs.b as Tensor;
    matchShapes(op, { b: matrix }, { b: transposeB ? 'N K' : 'K N' });
    expectTypes(op, { b: matrix }, ['f32', 'f16', 'bf16']);
    expectRows(op, { b: matrix });
    [k, n] = transposeB ? [matrix.shape[1]!, matrix.shape[0]!] : [matrix.shape[0]!, matrix.shape[1]!];
    panels = b.temporary([packedSize(k, n)]);
    gemmPack(b, matrix, transposeB, panels.address);
  }
  if (a.shape.at(-1) !== k) {
    throw new ShapeError(`${op}: a has shape [${a.shape}] and b is [${k}, ${n}]; a's last axis must be K = ${k}`);
  }
  if (bias) matchShapes(op, { bias }, { bias: `${n}` });
  const m = a.size / Math.max(1, k);
  const o = b.output([...a.shape.slice(0, -1), n]);
  gemm(b, {
    a: a.address,
    aStride: k,
    bPack: panels.address,
    o: o.address,
    oStride: n,
    bias: bias?.address ?? 0,
    m: k === 0 ? o.size / Math.max(1, n) : m,
    k,
    n,
    activation,
  });
  return { o };
}

/**
 * Matrix product o = activation(a b + bias), leading axes of a flattened.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await matmul({ a: x, b: weights, bias }, { transposeB: true, activation: 'relu' })
 */
export function matmul(inputs: MatmulInputs, options: MatmulOptions = {}): Promise<{ o: Tensor }> {
  return run('matmul', operands(inputs), (b) => planMatmul(b, inputs, options));
}

/** As `matmul`, to the end before it returns. */
export function matmulSync(inputs: MatmulInputs, options: MatmulOptions = {}): { o: Tensor } {
  return runSync('matmul', operands(inputs), (b) => planMatmul(b, inputs, options));
}

/**
 * Lays a matrix out for many products with it: b [K, N], or [N, K] with transposeB.
 *
 * @throws ShapeError, DTypeError if it is not a matrix of floats.
 * @example using w = await packMatrix(weights, { transposeB: true })
 */
export function packMatrix(b: Tensor, options: { readonly transposeB?: boolean } = {}): Promise<PackedMatrix> {
  return run('packMatrix', { b }, (builder) => planPack(builder, b, options.transposeB ?? false));
}

/** As `packMatrix`, to the end before it returns. */
export function packMatrixSync(b: Tensor, options: { readonly transposeB?: boolean } = {}): PackedMatrix {
  return runSync('packMatrix', { b }, (builder) => planPack(builder, b, options.transposeB ?? false));
}

/** The tensors of a call, the panels of a packed matrix in its place. */
function operands(inputs: MatmulInputs): object {
  return inputs.b instanceof PackedMatrix ? { ...inputs, b: inputs.b.panels } : inputs;
}
