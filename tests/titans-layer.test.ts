import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attentionSync,
  matmulSync,
  mulSync,
  OptionError,
  ShapeError,
  type Tensor,
  titansLayer,
  titansLayerSync,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property } from './property.ts';
import type { NdArray } from './reference/ndarray.ts';
import { titansLayer as reference } from './reference/titans-layer.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, normal, randomFrom } from './samples.ts';
import { rowsOf } from './streaming.ts';

const runtimes = await variants();
const team = await variants(3);
after(() => {
  for (const rt of [...runtimes, ...team]) rt.dispose();
});

interface Shape {
  seed: number;
  b: number;
  t: number;
  h: number;
  d: number;
  e: number;
  persistent: number;
  normed: boolean;
  depth: number;
}

function sample({ seed, b, t, h, d, e, persistent, normed, depth }: Shape, combine: string) {
  const random = randomFrom(seed);
  const into = (rows: number, columns: number) => normal(random, [rows, columns], rows ** -0.5);
  const P = depth === 1 ? d * d : 4 * d * d;
  const inputs: Record<string, FloatSample> = {
    x: normal(random, [b, t, e]),
    wq: into(e, h * d),
    wk: into(e, h * d),
    wv: into(e, h * d),
    wo: into(h * d, e),
    mq: into(e, h * d),
    mk: into(e, h * d),
    mv: into(e, h * d),
    gates: into(e, 3 * h),
    // little is learnt from a token, and little is forgotten
    gatesBias: floats([3 * h], (n) => (n < h ? 0 : -7)),
    initialState: normal(random, [b, h, P], d ** -0.5),
    ...(combine !== 'mag' && { mo: into(h * d, e) }),
    ...(persistent > 0 && {
      persistentK: normal(random, [persistent, h, d]),
      persistentV: normal(random, [persistent, h, d]),
    }),
    ...(normed && { lnWeight: floats([h, d], () => 0.5 + random()), lnBias: normal(random, [h, d], 0.2) }),
  };
  return inputs;
}

const shapes = fc
  .record({
    seed: fc.nat(),
    b: fc.integer({ min: 1, max: 2 }),
    t: fc.constantFrom(0, 1, 2, 9, 40, 67),
    h: fc.integer({ min: 1, max: 2 }),
    d: fc.constantFrom(4, 9, 18),
    e: fc.constantFrom(3, 8, 20),
    persistent: fc.constantFrom(0, 0, 1, 3),
    normed: fc.boolean(),
    depth: fc.constantFrom(1, 2),
  })
  .filter(({ b, t, h, d }) => b * t * h * d * d < 3e4);

for (const combine of ['mag', 'mal', 'mac'] as const) {
  test(`${combine}: random shapes`, () =>
    property(
      fc.record({ shape: shapes, window: fc.constantFrom(1, 5, 16, 100), chunkSize: fc.constantFrom(1, 7, 16) }),
      20,
      async ({ shape, window, chunkSize }) => {
        const inputs = sample(shape, combine);
        const options = { combine, window, chunkSize, depth: shape.depth, expansion: 2, eps: 0.01 };
        const wanted = expected((round) => reference(inputs as never, options, round));
        for (const rt of runtimes)
          assertAccurate((await call(rt, titansLayer as never, inputs, options)) as never, wanted, rt.variant);
      },
    ));

  test(`${combine}: a token's output depends on no later one`, async () => {
    const shape = { seed: 3, b: 2, t: 50, h: 2, d: 9, e: 12, persistent: 2, normed: true, depth: 2 };
    const inputs = sample(shape, combine);
    const options = { combine, window: 16, chunkSize: 8, expansion: 2 };
    for (const rt of runtimes) {
      const { o } = (await call(rt, titansLayer as never, inputs, options)) as { o: NdArray };
      const shorter = { ...inputs, x: rowsOf(inputs.x!, 0, 37) };
      const first = (await call(rt, titansLayer as never, shorter, options)) as { o: NdArray };
      assertNear(first.o, rowsOf(o, 0, 37), 1e-5, rt.variant);
    }
  });

  test(`${combine}: the same bits from one thread and from several`, async () => {
    const shape = { seed: 4, b: 2, t: 60, h: 3, d: 10, e: 12, persistent: 2, normed: true, depth: 2 };
    const inputs = sample(shape, combine);
    const options = { combine, window: 16, expansion: 2 };
    for (const [i, rt] of runtimes.entries()) {
      const want = (await call(rt, titansLayer as never, inputs, options)) as Record<string, NdArray>;
      const sync = async (x: object, y?: object) => titansLayerSync(x as never, y as never);
      const got = (await call(team[i]!, sync, inputs, options)) as Record<string, NdArray>;
      for (const name in want) assertSameBits(got[name]!, want[name]!, `${rt.variant}: ${name}`);
    }
  });
}

test('mag with a memory of zeros that learns nothing is half of causal attention', () => {
  const shape = { seed: 5, b: 2, t: 30, h: 2, d: 8, e: 12, persistent: 0, normed: false, depth: 1 };
  const { x, wq, wk, wv, wo, mq, mk, mv, gates } = sample(shape, 'mag');
  for (const rt of runtimes)
    rt.scope(() => {
      const on = (s: FloatSample | undefined) => rt.tensor(s!.data, s!.shape);
      const zeros = rt.tensor(new Float32Array(2 * 2 * 64), [2, 2, 64]);
      const named = { x: on(x), wq: on(wq), wk: on(wk), wv: on(wv), wo: on(wo), mq: on(mq), mk: on(mk), mv: on(mv) };
      // a rate of sigmoid(-100) is none
      const gatesBias = rt.tensor(new Float32Array(6).fill(-100), [6]);
      const flat = rt.tensor(new Float32Array(gates!.data.length), gates!.shape);
      const given = { ...named, gates: flat, gatesBias, initialState: zeros };
      const { o } = titansLayerSync(given, { combine: 'mag', depth: 1, window: 7 });
      const rows = (w: Tensor) => matmulSync({ a: named.x, b: w }).o.reshape([2, 30, 2, 8]);
      const dense = attentionSync(
        { q: rows(named.wq), k: rows(named.wk), v: rows(named.wv) },
        { causal: true, window: [6, 0] },
      );
      const half = rt.tensor(new Float32Array(16).fill(0.5), [16]);
      const want = matmulSync({ a: mulSync({ a: dense.o.reshape([2, 30, 16]), b: half }).o, b: named.wo }).o;
      assertNear(
        { shape: o.shape, data: o.dataSync() },
        { shape: want.shape, data: want.dataSync() },
        1e-6,
        rt.variant,
      );
    });
});

test('what does not fit is an error that says so and leaves no memory behind', () => {
  const rt = runtimes[0]!;
  rt.scope(() => {
    const shape = { seed: 6, b: 2, t: 5, h: 2, d: 4, e: 6, persistent: 1, normed: true, depth: 2 };
    const samples = Object.entries(sample(shape, 'mac'));
    const right = Object.fromEntries(samples.map(([name, x]) => [name, rt.tensor(x.data, x.shape)]));
    const refused = (change: Record<string, Tensor | undefined>, changed: object, says: RegExp) => {
      const inputs = Object.fromEntries(Object.entries({ ...right, ...change }).filter(([, x]) => x));
      const { used } = rt.memory();
      assert.throws(
        () => titansLayerSync(inputs as never, { combine: 'mac', expansion: 2, ...changed } as never),
        (thrown) => (thrown instanceof ShapeError || thrown instanceof OptionError) && says.test(thrown.message),
        String(says),
      );
      assert.equal(rt.memory().used, used, String(says));
    };
    for (const name of ['x', 'wq', 'wo', 'mo', 'mk', 'gates', 'initialState'])
      refused({ [name]: undefined }, {}, new RegExp(`${name} is missing`));
    refused({}, { combine: undefined }, /combine is missing/);
    refused({}, { combine: 'sum' }, /combine is "sum", expected mac or mag or mal/);
    refused({}, { window: 0 }, /window is 0/);
    refused({}, { expansion: 3 }, /initialState has shape/);
    refused({ gates: rt.empty([6, 5]) }, {}, /gates has shape \[6, 5\]/);
    refused({ persistentV: undefined }, {}, /persistentK was given without persistentV/);
    refused({ lnWeight: undefined }, {}, /lnBias was given without lnWeight/);
    refused({ initialState: rt.empty([2, 3, 64]) }, {}, /wq has 8 columns and initialState 3 heads/);
    refused({ extra: rt.empty([1]) }, {}, /no input 'extra'/);
  });
});
