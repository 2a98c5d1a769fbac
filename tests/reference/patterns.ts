import { attention } from './attention.ts';
import { float64, type NdArray, type Result, type Round } from './ndarray.ts';

/** Whether query i of head h and batch b sees key j. */
export type Visible = (i: number, j: number, h: number, b: number) => boolean;

/** Operands of the pattern methods. */
export interface PatternInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
}

/** The mask [B, H, T, T] of a predicate. */
export function maskOf([batches = 0, t = 0, heads = 0]: readonly number[], tk: number, visible: Visible): NdArray {
  const data = new Uint8Array(batches * heads * t * tk);
  let at = 0;
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < t; i++) for (let j = 0; j < tk; j++) data[at++] = visible(i, j, h, b) ? 1 : 0;
    }
  }
  return { shape: [batches, heads, t, tk], data };
}

/** Softmax attention over the pairs that a predicate shows. */
export function patternAttention(
  { q, k, v }: PatternInputs,
  visible: Visible,
  options: { scale?: number | undefined } = {},
  round: Round = float64,
): { o: Result; lse: Result } {
  const mask = maskOf(q.shape, k.shape[1]!, visible);
  return attention({ q, k, v, mask }, options.scale === undefined ? {} : { scale: options.scale }, round);
}

interface Causal {
  causal?: boolean;
  scale?: number;
}

const past = (options: Causal, i: number, j: number) => !options.causal || j <= i;

/** Keys nearer than the stride, and every stride-th one (Sparse Transformer, arXiv 1904.10509, strided). */
export function stridedAttention(inputs: PatternInputs, options: Causal & { stride: number }, round?: Round) {
  const { stride } = options;
  const visible = (i: number, j: number) => past(options, i, j) && (Math.abs(i - j) < stride || (i - j) % stride === 0);
  return patternAttention(inputs, visible, options, round);
}

/** Keys of the query's own block, and the last `summary` columns of every block (Sparse Transformer, fixed). */
export function fixedAttention(
  inputs: PatternInputs,
  options: Causal & { stride: number; summary: number },
  round?: Round,
) {
  const { stride, summary } = options;
  const visible = (i: number, j: number) =>
    past(options, i, j) && (Math.floor(i / stride) === Math.floor(j / stride) || j % stride >= stride - summary);
  return patternAttention(inputs, visible, options, round);
}

/** Every dilation-th key, `window` of them to each side, the query's own counted. */
export function dilatedAttention(
  inputs: PatternInputs,
  options: Causal & { window: number; dilation: number },
  round?: Round,
) {
  const { window, dilation } = options;
  const visible = (i: number, j: number) =>
    past(options, i, j) && (i - j) % dilation === 0 && Math.abs(i - j) / dilation < window;
  return patternAttention(inputs, visible, options, round);
}

/** Query block b of head h sees key block permutation[h, b] (BlockBERT, arXiv 1911.02972); without one, its own. */
export function blockwiseAttention(
  { permutation, ...inputs }: PatternInputs & { permutation?: NdArray },
  options: Causal & { blockSize: number },
  round?: Round,
) {
  const { blockSize } = options;
  const visible = (i: number, j: number, h: number) => {
    const block = Math.floor(i / blockSize);
    const row = permutation?.shape[0] === 1 ? 0 : h;
    const seen = permutation ? permutation.data[row * permutation.shape[1]! + block]! : block;
    return past(options, i, j) && Math.floor(j / blockSize) === seen;
  };
  return patternAttention(inputs, visible, options, round);
}

/** Keys at distances below `window` and at powers of two (LogSparse Transformer, arXiv 1907.00235). */
export function logsparseAttention(inputs: PatternInputs, options: Causal & { window?: number }, round?: Round) {
  const { window = 1 } = options;
  const visible = (i: number, j: number) => {
    const distance = Math.abs(i - j);
    return past(options, i, j) && (distance < window || Number.isInteger(Math.log2(distance)));
  };
  return patternAttention(inputs, visible, options, round);
}

/** The first `sinks` keys and the last `window` (StreamingLLM, arXiv 2309.17453). */
export function streamingLlm(
  inputs: PatternInputs,
  options: { sinks?: number; window: number; scale?: number },
  round?: Round,
) {
  const { sinks = 4, window } = options;
  return patternAttention(inputs, (i, j) => j <= i && (j < sinks || i - j < window), options, round);
}
