// The delta family gives the same bits on any number of threads, in both forms.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Tensor } from '../src/index.ts';
import { assertSameBits } from './accuracy.ts';
import { call } from './call.ts';
import { deltaMethods } from './delta-methods.ts';
import { exported, opOf, syncOf } from './linear-methods.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, randomFrom } from './samples.ts';

// By thread count, each with its runtimes by variant.
const teams = await Promise.all([1, 2, 4].map((threads) => variants(threads)));
after(() => {
  for (const rt of teams.flat()) rt.dispose();
});

type Op = (inputs: Record<string, Tensor>, options?: object) => Promise<Record<string, Tensor>>;

/** Large enough for threads to be used, and of sizes that do not divide evenly. */
const lengths = { b: 2, t: 150, h: 3, hv: 6, k: 50, v: 70, m: 1 };

async function assertDeterministic(
  what: string,
  forms: readonly Op[],
  inputs: Record<string, FloatSample>,
  options: object,
) {
  for (const [n, alone] of teams[0]!.entries()) {
    const want = await call(alone, forms[0]!, inputs, options);
    for (const rt of teams.map((team) => team[n]!))
      for (const form of forms) {
        const got = await call(rt, form, inputs, options);
        assert.deepEqual(Object.keys(got), Object.keys(want));
        for (const name in want)
          assertSameBits(got[name]!, want[name]!, `${rt.variant}, ${rt.threads} threads: ${what}: ${name}`);
      }
  }
}

for (const method of deltaMethods)
  test(`${method.label}: 1, 2 and 4 threads and the synchronous twin give the same bits`, () => {
    const random = randomFrom(70);
    const inputs = { ...method.tokens(random, lengths, 'mixed', 1), ...method.constants?.(random, lengths, 'mixed') };
    const sync: Op = async (...args) => syncOf(method)(...args);
    return assertDeterministic(method.label, [opOf(method), opOf(method), sync], inputs, method.options);
  });

test('segments: 1, 2 and 4 threads give the same bits', async () => {
  const random = randomFrom(71);
  const kda = deltaMethods.find(({ label }) => label === 'kda')!;
  const { k, v, beta, g } = kda.tokens(random, lengths, 'mixed', 1);
  const inputs = { k: k!, v: v!, beta: beta!, gk: g! };
  await assertDeterministic('deltaSegment', [exported<Op>('deltaSegment')], inputs, {});
  const states = {
    state: floats([2, 6, 50, 70], random),
    update: floats([2, 6, 50, 70], random),
    transition: floats([2, 6, 50, 50], random),
  };
  const join: Op = (operands) => exported<Op>('joinDeltaSegment')(operands);
  await assertDeterministic('joinDeltaSegment', [join], states, {});
});
