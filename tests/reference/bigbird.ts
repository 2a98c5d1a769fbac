import type { NdArray, Round } from './ndarray.ts';
import { type PatternInputs, patternAttention } from './patterns.ts';

/**
 * Blocks of queries see the first and the last block of keys, their own with its two neighbours, and random ones; the first and last block
 * of queries see all keys (BigBird, arXiv 2007.14062). `randBlocks` [H, n - 2, r] are those of the blocks between the first and the last.
 */
export function bigbird(
  { randBlocks, ...inputs }: PatternInputs & { randBlocks: NdArray },
  options: { blockSize: number; scale?: number },
  round?: Round,
) {
  const { blockSize } = options;
  const n = Math.ceil(inputs.q.shape[1]! / blockSize);
  const [, rows = 0, r = 0] = randBlocks.shape;
  const visible = (i: number, j: number, h: number) => {
    const [row, column] = [Math.floor(i / blockSize), Math.floor(j / blockSize)];
    if (row === 0 || row === n - 1 || column === 0 || column === n - 1 || Math.abs(row - column) <= 1) return true;
    for (let m = 0; m < r; m++) if (randBlocks.data[(h * rows + row - 1) * r + m] === column) return true;
    return false;
  };
  return patternAttention(inputs, visible, options, round);
}
