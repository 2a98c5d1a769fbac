import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type NdArray, offset, zeros } from './reference/ndarray.ts';
import { type FloatSample, normal, randomFrom } from './samples.ts';

/** Sizes of attention over chosen blocks. */
export interface ChosenShape {
  seed: number;
  batch: number;
  tq: number;
  tk: number;
  hkv: number;
  group: number;
  d: number;
  dv: number;
}

/** Odd shapes of at most `work` multiplications of the dense product. `lengths` are those of keys; queries are as many, or another number. */
export function chosenShapes(lengths: readonly number[], work: number, square = false): fc.Arbitrary<ChosenShape> {
  return fc
    .record({
      seed: fc.nat(),
      batch: fc.constantFrom(1, 1, 2),
      tk: fc.constantFrom(...lengths),
      tq: fc.constantFrom(undefined, undefined, ...lengths),
      hkv: fc.integer({ min: 1, max: 2 }),
      group: fc.constantFrom(1, 1, 2, 3),
      d: fc.constantFrom(1, 3, 18, 64, 80),
      dv: fc.constantFrom(undefined, 1, 20, 64),
    })
    .map(({ tq, dv, ...rest }) => ({ ...rest, tq: square ? rest.tk : (tq ?? rest.tk), dv: dv ?? rest.d }))
    .filter(({ batch, tq, tk, hkv, group, d, dv }) => batch * hkv * group * tq * tk * (d + dv) < work);
}

/** q, k and v of a shape; `spread` is the standard deviation of q and k: larger ones make weights more uneven. */
export function qkv(shape: ChosenShape, spread = 1): { q: FloatSample; k: FloatSample; v: FloatSample } {
  const { seed, batch, tq, tk, hkv, group, d, dv } = shape;
  const random = randomFrom(seed);
  return {
    q: normal(random, [batch, tq, hkv * group, d], spread),
    k: normal(random, [batch, tk, hkv, d], spread),
    v: normal(random, [batch, tk, hkv, dv]),
  };
}

/** Bits i32 [..., words] as numbers 0 and 1 [..., columns]; bits past the columns must be 0. */
export function unpacked(bits: NdArray, columns: number): NdArray {
  const words = bits.shape.at(-1)!;
  const o = zeros([...bits.shape.slice(0, -1), columns]);
  const rows = words === 0 ? 0 : bits.data.length / words;
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < words * 32; c++) {
      const set = (bits.data[row * words + (c >> 5)]! >>> (c & 31)) & 1;
      if (c < columns) o.data[row * columns + c] = set;
      else assert.equal(set, 0, 'a bit past the last column is set');
    }
  }
  return o;
}

/** Fails unless the same columns are chosen in every row. */
export function assertSameChoice(got: NdArray, want: NdArray, what: string): void {
  assert.deepEqual([...got.shape], [...want.shape], what);
  const columns = want.shape.at(-1)!;
  for (let n = 0; n < want.data.length; n++) {
    if (got.data[n] === want.data[n]) continue;
    const row = Math.floor(n / columns);
    const of = (x: NdArray) =>
      Array.from({ length: columns }, (_, c) => c).filter((c) => x.data[row * columns + c] === 1);
    assert.fail(`${what}: row ${row} of [${want.shape}] chose ${of(got).join()}, expected ${of(want).join()}`);
  }
}

/** A decision closer than this may fall either way in float32: such cases are passed over. */
export const NEAR = 2e-5;

/** Share of the elements that are 1. */
export function densityOf({ data }: NdArray): number {
  let sum = 0;
  for (let n = 0; n < data.length; n++) sum += data[n]!;
  return data.length === 0 ? 0 : sum / data.length;
}

/** Element of a choice. */
export function chosenAt(choice: NdArray, ...index: number[]): boolean {
  return choice.data[offset(choice.shape, ...index)] === 1;
}
