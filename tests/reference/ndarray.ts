/** A row-major array of numbers; float64 in the references, any typed array coming in. */
export interface NdArray {
  shape: readonly number[];
  data: ArrayLike<number>;
}

/** An NdArray that a reference fills. */
export interface Result extends NdArray {
  data: Float64Array;
}

/** Applied to the result of every single operation: what precision a reference computes in. */
export interface Round {
  (x: number): number;
  /** Exponentials and logarithms are of base 2, as in flash kernels. */
  readonly base2?: true;
}

/** Float64: the definition itself. */
export const float64: Round = (x) => x;

/** Naive float32: every operation rounds, in the order in which the definition is written. */
export const float32: Round = (x) => Math.fround(x);

/** Naive float32 in base 2: what is exponentiated is first multiplied by log2(e), which makes it larger and its rounding coarser. */
export const float32Base2: Round = Object.assign((x: number) => Math.fround(x), { base2: true as const });

/** log2(e) or 1: what logits are multiplied by for the base of `round`. */
export function logitFactor(round: Round): number {
  return round.base2 ? round(Math.LOG2E) : 1;
}

/** e^x, or 2^x. */
export function exp(x: number, round: Round): number {
  return round(round.base2 ? 2 ** x : Math.exp(x));
}

/** ln x, or log2 x. */
export function log(x: number, round: Round): number {
  return round(round.base2 ? Math.log2(x) : Math.log(x));
}

/** An array of zeros. */
export function zeros(shape: readonly number[]): Result {
  return { shape, data: new Float64Array(shape.reduce((count, size) => count * size, 1)) };
}

/** Where the element at `index` lies in an array of `shape`; leading indices may be left out of nothing. */
export function offset(shape: readonly number[], ...index: number[]): number {
  if (index.length !== shape.length) throw new Error(`index [${index}] for shape [${shape}]`);
  return index.reduce((at, i, axis) => {
    if (i < 0 || i >= shape[axis]!) throw new Error(`index [${index}] is outside shape [${shape}]`);
    return at * shape[axis]! + i;
  }, 0);
}

/** The element at `index`. */
export function at(array: NdArray, ...index: number[]): number {
  return array.data[offset(array.shape, ...index)]!;
}

/** The element at `index`, where an axis of size 1 stands for any index. */
export function atBroadcast(array: NdArray, ...index: number[]): number {
  return at(array, ...index.map((i, axis) => (array.shape[axis] === 1 ? 0 : i)));
}

/** Sum of a[aFrom + i * aStep] * b[bFrom + i * bStep] for i < n, first to last. */
export function dot(
  a: ArrayLike<number>,
  aFrom: number,
  aStep: number,
  b: ArrayLike<number>,
  bFrom: number,
  bStep: number,
  n: number,
  round: Round,
): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum = round(sum + round(a[aFrom + i * aStep]! * b[bFrom + i * bStep]!));
  return sum;
}
