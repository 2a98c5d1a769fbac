import assert from 'node:assert/strict';
import type { Tensor } from '../src/index.ts';
import { assertAccurate, type Expected, expected } from './accuracy.ts';
import { type CallInputs, call } from './call.ts';
import type { NdArray, Round } from './reference/ndarray.ts';
import { zeros } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';

export const runtimes = await variants(2);

/** Ones [B, L, R, columns] of bits i32 [B, L, R, W]. */
export function onesOfBits(bits: NdArray, columns: number): NdArray {
  const [B, L, R, W] = bits.shape as [number, number, number, number];
  const ones = zeros([B, L, R, columns]);
  for (let row = 0; row < B * L * R; row++) {
    for (let c = 0; c < columns; c++) {
      ones.data[row * columns + c] = (bits.data[row * W + (c >> 5)]! >> (c & 31)) & 1;
    }
    // bits past the last column must be 0
    if (columns & 31) assert.equal(bits.data[row * W + W - 1]! >>> (columns & 31), 0, `row ${row}`);
  }
  return ones;
}

/** Ones [B, L, R, columns] of lists i32 [B, L, R, K] and their counts: ascending, -1 behind the last. */
export function onesOfLists(indices: NdArray, counts: NdArray, columns: number): NdArray {
  const [B, L, R, K] = indices.shape as [number, number, number, number];
  const ones = zeros([B, L, R, columns]);
  for (let row = 0; row < B * L * R; row++) {
    for (let e = 0; e < K; e++) {
      const j = indices.data[row * K + e]!;
      if (e >= counts.data[row]!) assert.equal(j, -1, `entry ${e} of row ${row}`);
      else {
        assert.ok(j >= 0 && j < columns && (e === 0 || j > indices.data[row * K + e - 1]!), `entry ${e} of row ${row}`);
        ones.data[row * columns + j] = 1;
      }
    }
  }
  return ones;
}

/** Rows in which two choices differ. */
export function differing(a: NdArray, b: NdArray): number {
  assert.deepEqual([...a.shape], [...b.shape]);
  const C = a.shape[3]!;
  let rows = 0;
  for (let row = 0; row * C < a.data.length; row++) {
    let same = true;
    for (let c = 0; c < C; c++) same &&= a.data[row * C + c] === b.data[row * C + c];
    if (!same) rows++;
  }
  return rows;
}

/** A method, how to read what it chose, and its definition. */
export interface DynamicCase<Options, Name extends string> {
  name: string;
  op: (inputs: never, options: never) => Promise<Record<string, Tensor>>;
  inputs: CallInputs;
  options: Options;
  /** The choice of the definition, and that of the results with returnSelection. */
  choose: () => NdArray;
  chosen: (got: Record<string, NdArray>) => NdArray;
  reference: (round: Round, chosen: NdArray) => Record<Name, NdArray>;
}

/**
 * Fails unless the method chooses as its definition does and is as accurate as `expected` asks. Scores that are equal but for rounding
 * may be ordered otherwise: a few rows may differ, and outputs are then those of the method's own choice.
 */
export async function checkDynamic<Options extends object, Name extends string>(
  c: DynamicCase<Options, Name>,
  differ = 0,
): Promise<void> {
  const want = c.choose();
  let wanted: Expected<Name> | undefined;
  for (const rt of runtimes) {
    const what = `${rt.variant}: ${c.name} ${JSON.stringify(c.options)}`;
    const op = c.op as (inputs: unknown, options?: object) => Promise<Record<string, Tensor>>;
    const got = await call(rt, op, c.inputs, { ...c.options, returnSelection: true });
    const chosen = c.chosen(got);
    const rows = differing(chosen, want);
    assert.ok(rows <= differ, `${what}: ${rows} rows chose otherwise`);
    const own = rows > 0 ? expected((round) => c.reference(round, chosen)) : undefined;
    wanted ??= expected((round) => c.reference(round, want));
    assertAccurate(got as Record<Name, NdArray>, own ?? wanted, what);
    const plain = await call(rt, op, c.inputs, c.options);
    for (const name of ['o', 'lse'] as const) {
      if (got[name]) assert.deepEqual(plain[name]!.data, got[name]!.data, `${what}: ${name} without returnSelection`);
    }
    const extras = ['selection', 'indices'].filter((name) => name in plain);
    assert.deepEqual(extras, [], `${what}: results that were not asked for`);
  }
}
