import { after, test } from 'node:test';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { checkShapes } from './linear-cases.ts';
import { derived, methods, opOf } from './linear-methods.ts';
import { variants } from './runtimes.ts';
import { mapped, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

for (const method of methods.filter(({ name }) => !derived.includes(name)))
  test(`${method.label}: random shapes, gates, sequences and states`, () => checkShapes(runtimes, method, 25));

test('queries, keys and values stored as f16 or bf16', async () => {
  const lengths = { b: 2, t: 70, h: 2, hv: 4, k: 19, v: 21, m: 3 };
  const stored = { f16: roundToHalf, bf16: roundToBfloat };
  for (const label of ['linearAttn', 'simpleGla', 'gla', 'hgrn2', 'rwkv6', 'retention'])
    for (const [dtype, rounded] of Object.entries(stored) as ['f16' | 'bf16', (x: number) => number][]) {
      const method = methods.find((candidate) => candidate.label === label)!;
      const random = randomFrom(50);
      const tokens = method.tokens(random, lengths, 'mild', 1);
      const constants = method.constants?.(random, lengths, 'mild') ?? {};
      const narrow = Object.entries(tokens).filter(([name]) => ['q', 'r', 'k', 'v'].includes(name));
      const kept = Object.fromEntries(narrow.map(([name, x]) => [name, mapped(x, rounded)]));
      const wanted = expected((round) => method.reference({ ...tokens, ...kept, ...constants }, method.options, round));
      for (const rt of runtimes)
        await rt.scope(async () => {
          const tensors = Object.fromEntries(narrow.map(([name, x]) => [name, rt.tensor(x.data, x.shape, dtype)]));
          const got = await call(rt, opOf(method), { ...tokens, ...constants, ...tensors }, method.options);
          assertAccurate(got, wanted, `${rt.variant}: ${label} of ${dtype}`);
        });
    }
});

test('long sequences of one head, where time may be split', async () => {
  for (const label of ['linearAttn', 'retention', 'simpleGla', 'gla', 'rwkv6', 'lightnet', 'mlstm', 'ssd']) {
    const method = methods.find((candidate) => candidate.label === label)!;
    for (const kind of ['slow', 'bursts'] as const) {
      const random = randomFrom(51);
      const lengths = { b: 1, t: 1337, h: 1, hv: 1, k: 9, v: 16, m: 1 };
      const inputs = { ...method.tokens(random, lengths, kind, 1), ...method.constants?.(random, lengths, kind) };
      const wanted = expected((round) => method.reference(inputs, method.options, round));
      for (const rt of runtimes) {
        const got = await call(rt, opOf(method), inputs, method.options);
        assertAccurate(got, wanted, `${rt.variant}: ${label}, ${kind} gates`);
      }
    }
  }
});
