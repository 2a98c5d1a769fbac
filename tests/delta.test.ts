import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { deltaRule, deltaRuleStep } from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { deltaMethods } from './delta-methods.ts';
import { checkShapes } from './linear-cases.ts';
import { gateKinds, opOf } from './linear-methods.ts';
import { property } from './property.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, ints, mapped, normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';
import { rowsOfAll } from './streaming.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

for (const method of deltaMethods)
  test(`${method.label}: random shapes, gates, sequences and states`, () => checkShapes(runtimes, method, 20));

for (const name of ['deltaRule', 'gatedDeltaRule', 'kda'])
  test(`${name}: snapshots are the states on the way, from which a sequence goes on`, () =>
    property(
      fc.record({
        seed: fc.nat(),
        t: fc.constantFrom(0, 1, 5, 33, 64, 130),
        group: fc.constantFrom(1, 2),
        k: fc.constantFrom(1, 3, 18, 64),
        v: fc.constantFrom(1, 20, 64),
        every: fc.constantFrom(1, 2, 5, 32, 33, 200),
        kind: fc.constantFrom(...gateKinds),
        normalized: fc.boolean(),
        packed: fc.boolean(),
      }),
      20,
      async ({ seed, t, group, k, v, every, kind, normalized, packed }) => {
        const method = deltaMethods.find((one) => one.name === name && 'useQkL2norm' in one.options === normalized)!;
        const random = randomFrom(seed);
        const lengths = { b: packed ? 1 : 2, t, h: 1, hv: group, k, v, m: 1 };
        const tokens = method.tokens(random, lengths, kind, 1);
        const cut = Math.floor(random() * (t + 1));
        const cuSeqlens = packed ? ints([0, cut, t]) : undefined;
        const initialState = normal(random, [2, group, k, v]);
        const inputs = { ...tokens, initialState, ...(cuSeqlens && { cuSeqlens }) };
        const options = { ...method.options, snapshotEvery: every };
        const wanted = expected((round) => method.reference(inputs, options, round));
        assert.ok(wanted.want.snapshots, 'the reference keeps snapshots');
        for (const rt of runtimes) {
          const got = await call(rt, opOf(method), inputs, options);
          assertAccurate(got, wanted, rt.variant);
          const count = got.snapshots!.shape[1]!;
          if (packed || count === 0) continue;
          // back to the last one, and on from there
          const size = group * k * v;
          const kept = floats([2, group, k, v], (n) => {
            const [sequence, within] = [Math.floor(n / size), n % size];
            return got.snapshots!.data[(sequence * count + count - 1) * size + within]!;
          });
          const rest = { ...rowsOfAll(tokens, count * every, t), initialState: kept };
          const { finalState } = await call(rt, opOf(method), rest, method.options);
          assertNear(finalState!, wanted.want.finalState!, wanted.limit.finalState!, `${rt.variant}: from the last`);
        }
      },
    ));

test('a step keeps no snapshots, and they are kept every whole number of tokens', async () => {
  const rt = runtimes[0]!;
  await rt.scope(async () => {
    const [q, k, v] = [rt.zeros([2, 3, 1, 4]), rt.zeros([2, 3, 1, 4]), rt.zeros([2, 3, 1, 5])];
    const beta = rt.zeros([2, 3, 1]);
    const token = {
      q: rt.zeros([2, 1, 4]),
      k: rt.zeros([2, 1, 4]),
      v: rt.zeros([2, 1, 5]),
      beta: rt.zeros([2, 1]),
      state: rt.zeros([2, 1, 4, 5]),
    };
    const { used } = rt.memory();
    for (const snapshotEvery of [0, -1, 1.5, Number.NaN])
      await assert.rejects(deltaRule({ q, k, v, beta }, { snapshotEvery }), { name: 'OptionError' });
    await assert.rejects(deltaRule({ q, k, v, beta }, { useQkL2norm: 1 as never }), { name: 'OptionError' });
    const options = { snapshotEvery: 1 };
    assert.throws(() => deltaRuleStep(token, options as object), {
      name: 'OptionError',
      message: /no option 'snapshotEvery'/,
    });
    assert.equal(rt.memory().used, used);
  });
});

test('strengths and gates with gaps are read as they are', async () => {
  for (const rt of runtimes)
    for (const method of deltaMethods) {
      const random = randomFrom(60);
      const lengths = { b: 2, t: 9, h: 2, hv: 2, k: 6, v: 8, m: 1 };
      const tokens = method.tokens(random, lengths, 'mild', 1);
      const constants = method.constants?.(random, lengths, 'mild') ?? {};
      const want = await call(rt, opOf(method), { ...tokens, ...constants }, method.options);
      await rt.scope(async () => {
        // every tensor as part of one with another token between each two
        const sparse = Object.entries(tokens).map(([name, { shape, data }]) => {
          const row = shape.slice(2).reduce((n, m) => n * m, 1);
          const wide = floats([shape[0]!, 2 * shape[1]!, ...shape.slice(2)], (n) => {
            const at = Math.floor(n / row);
            return at % 2 === 0 ? data[(at / 2) * row + (n % row)]! : Number.NaN;
          });
          const whole = rt.tensor(wide.data, wide.shape);
          const strides = whole.strides.map((stride, axis) => (axis === 1 ? 2 * stride : stride));
          return [name, whole.restride(shape, strides)];
        });
        const got = await call(rt, opOf(method), { ...Object.fromEntries(sparse), ...constants }, method.options);
        for (const name in want) assertSameBits(got[name]!, want[name]!, `${rt.variant}: ${method.label}: ${name}`);
      });
    }
});

test('decays of e^-20 a token, one key again and again, strengths 0 and 2', async () => {
  const lengths = { b: 1, t: 200, h: 1, hv: 1, k: 20, v: 24, m: 1 };
  for (const method of deltaMethods.filter(({ name }) => !['gatedOja', 'iplr'].includes(name))) {
    const random = randomFrom(61);
    const tokens = method.tokens(random, lengths, 'mild', 1);
    for (const strong of [-20, -1e-3])
      for (const beta of [0, 2]) {
        const { k } = tokens;
        const inputs: Record<string, FloatSample> = {
          ...tokens,
          k: floats(k!.shape, (n) => k!.data[n % 20]!),
          ...(tokens.beta && !/^comba|^precond/.test(method.name) && { beta: floats([1, 200, 1], () => beta) }),
          ...method.constants?.(random, lengths, 'mild'),
        };
        for (const gate of ['g', 'gk', 'w'])
          if (tokens[gate] && !(gate === 'w' && method.name === 'gdn2'))
            inputs[gate] = floats(tokens[gate].shape, () => strong);
        const wanted = expected((round) => method.reference(inputs, method.options, round));
        for (const rt of runtimes) {
          const got = await call(rt, opOf(method), inputs, method.options);
          assertAccurate(got, wanted, `${rt.variant}: ${method.label}, ${strong}, ${beta}`);
        }
      }
  }
});

test('rows stored as f16 or bf16', async () => {
  const lengths = { b: 2, t: 70, h: 2, hv: 4, k: 19, v: 21, m: 3 };
  const stored = { f16: roundToHalf, bf16: roundToBfloat };
  const storable = ['q', 'r', 'k', 'v', 'p', 'kk'];
  for (const method of deltaMethods)
    for (const [dtype, rounded] of Object.entries(stored) as ['f16' | 'bf16', (x: number) => number][]) {
      const random = randomFrom(50);
      const tokens = method.tokens(random, lengths, 'mild', 1);
      const constants = method.constants?.(random, lengths, 'mild') ?? {};
      // a and b are rows of dplr and iplr, but gates of rwkv7 and gdn2
      const names = [...storable, ...(/^[di]plr/.test(method.name) ? ['a', 'b'] : [])];
      const narrow = Object.entries(tokens).filter(([name]) => names.includes(name));
      const kept = Object.fromEntries(narrow.map(([name, x]) => [name, mapped(x, rounded)]));
      const wanted = expected((round) => method.reference({ ...tokens, ...kept, ...constants }, method.options, round));
      for (const rt of runtimes)
        await rt.scope(async () => {
          const tensors = Object.fromEntries(narrow.map(([name, x]) => [name, rt.tensor(x.data, x.shape, dtype)]));
          const got = await call(rt, opOf(method), { ...tokens, ...constants, ...tensors }, method.options);
          assertAccurate(got, wanted, `${rt.variant}: ${method.label} of ${dtype}`);
        });
    }
});
