import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** x = (I + tril(a, -1))^-1 b by forward substitution, a [B,C,C] and b [B,C,N]; b is the identity where it is left out. */
export function triSolve({ a, b }: { a: NdArray; b?: NdArray | undefined }, round: Round = float64): { x: Result } {
  const [batches = 0, rows = 0] = a.shape;
  const columns = b ? b.shape[2]! : rows;
  const x = zeros([batches, rows, columns]);
  for (let n = 0; n < batches; n++)
    for (let i = 0; i < rows; i++)
      for (let c = 0; c < columns; c++) {
        const at = (n * rows + i) * columns + c;
        let sum = b ? b.data[at]! : i === c ? 1 : 0;
        for (let j = 0; j < i; j++)
          sum = round(sum - round(a.data[(n * rows + i) * rows + j]! * x.data[(n * rows + j) * columns + c]!));
        x.data[at] = sum;
      }
  return { x };
}
