import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { DTypeError, OptionError, ShapeError, triSolve, triSolveSync } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property } from './property.ts';
import { triSolve as reference } from './reference/tri-solve.ts';
import { variants } from './runtimes.ts';
import { floats, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
/** The same variants with more threads. */
const teams = await Promise.all([2, 3].map(variants));
after(() => {
  for (const rt of [...runtimes, ...teams.flat()]) rt.dispose();
});

/** Matrices whose upper parts hold NaN: nothing may read them. */
function systems(seed: number, batch: number, rows: number, size: number) {
  const random = randomFrom(seed);
  const a = normal(random, [batch, rows, rows], size);
  return floats(a.shape, (n) => (n % rows < Math.floor(n / rows) % rows ? a.data[n]! : Number.NaN));
}

test('ones below the diagonal, and twos', async () => {
  for (const value of [1, 2]) {
    const a = floats([1, 64, 64], () => value);
    const { x } = reference({ a });
    for (const rt of runtimes) assertNear((await call(rt, triSolve, { a })).x, x, 0, `${rt.variant}: ${value}`);
  }
});

test('systems and inverses of random sizes', () =>
  property(
    fc.record({
      seed: fc.nat(),
      batch: fc.integer({ min: 0, max: 3 }),
      rows: fc.constantFrom(0, 1, 2, 5, 6, 7, 16, 63, 64, 65, 130),
      columns: fc.constantFrom(undefined, 0, 1, 3, 8, 20, 64, 65, 100),
      size: fc.constantFrom(0, 0.05, 0.3),
    }),
    60,
    async ({ seed, batch, rows, columns, size }) => {
      const a = systems(seed, batch, rows, size);
      const right = columns === undefined ? {} : { b: normal(randomFrom(seed + 1), [batch, rows, columns]) };
      const wanted = expected((round) => reference({ a, ...right }, round));
      for (const rt of runtimes) assertAccurate(await call(rt, triSolve, { a, ...right }), wanted, rt.variant);
    },
  ));

test('the inverse times the matrix is the identity', async () => {
  const rows = 96;
  const a = mapped(systems(4, 1, rows, 0.2), (x) => (Number.isNaN(x) ? 0 : x));
  for (const rt of runtimes) {
    const { x } = await call(rt, triSolve, { a });
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < rows; j++) {
        let sum = x.data[i * rows + j]!;
        for (let n = 0; n < rows; n++) sum += x.data[i * rows + n]! * a.data[n * rows + j]!;
        assert.ok(Math.abs(sum - (i === j ? 1 : 0)) < 1e-5, `${rt.variant}: [${i}, ${j}] is ${sum}`);
      }
  }
});

test('views and 16-bit storage', async () => {
  const a = mapped(systems(5, 2, 20, 0.2), roundToHalf);
  const b = mapped(normal(randomFrom(6), [2, 20, 7]), roundToBfloat);
  const wanted = expected((round) => reference({ a, b }, round));
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const wide = rt.tensor(
        floats([2, 20, 30], (n) => (n % 30 < 20 ? a.data[Math.floor(n / 30) * 20 + (n % 30)]! : 9)).data,
        [2, 20, 30],
        'f16',
      );
      const inputs = { a: wide.slice(2, 0, 20), b: rt.tensor(b.data, b.shape, 'bf16') };
      assertAccurate(await call(rt, triSolve, inputs), wanted, rt.variant);
    });
  }
});

test('the same bits for any number of threads, and from the sync twin', async () => {
  const inputs = { a: systems(7, 9, 64, 0.2), b: normal(randomFrom(8), [9, 64, 200]) };
  for (const [n, one] of runtimes.entries()) {
    const alone = await call(one, triSolve, inputs);
    for (const team of teams)
      assertSameBits((await call(team[n]!, triSolve, inputs)).x, alone.x, `${one.variant}: threads`);
    one.scope(() => {
      const { x } = triSolveSync({
        a: one.tensor(inputs.a.data, inputs.a.shape),
        b: one.tensor(inputs.b.data, inputs.b.shape),
      });
      assertSameBits({ shape: x.shape, data: x.dataSync() }, alone.x, 'sync');
    });
  }
});

test('operands that do not fit are refused', () => {
  const [rt = assert.fail()] = runtimes;
  rt.scope(() => {
    const a = rt.empty([2, 6, 6]);
    const { used } = rt.memory();
    assert.throws(() => triSolveSync({ a: rt.empty([0, 6, 5]) }), ShapeError);
    assert.throws(() => triSolveSync({ a, b: rt.empty([0, 6, 5]) }), /b has shape \[0, 6, 5\], expected .*B = 2/);
    assert.throws(() => triSolveSync({ a, b: undefined as never, c: a } as never), OptionError);
    assert.throws(() => triSolveSync({ a }, { lower: true }), /no option 'lower'/);
    assert.throws(() => triSolveSync({ a: rt.empty([0, 6, 6], 'i32') }), DTypeError);
    assert.throws(() => triSolveSync({ a: rt.empty([0, 2000, 2000]) }), /2000 rows, expected at most 1024/);
    assert.ok(rt.memory().used - used < 1000);
  });
});
