import type { Runtime, Tensor } from '../src/index.ts';

/**
 * Rows of a table [vocabulary, width], one for each token: [1, T, width].
 *
 * @throws RangeError if there are no tokens or one is not in the table.
 */
export function embed(rt: Runtime, table: Float32Array, width: number, tokens: readonly number[]): Tensor {
  const vocabulary = table.length / width;
  if (tokens.length === 0) throw new RangeError('no tokens were given, expected at least one');
  const x = rt.empty([1, tokens.length, width]);
  const rows = x.view();
  for (const [t, token] of tokens.entries()) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabulary) {
      throw new RangeError(`token ${t} is ${token}, expected a whole number from 0 to ${vocabulary - 1}`);
    }
    rows.set(table.subarray(token * width, (token + 1) * width), t * width);
  }
  return x;
}
