import { after, test } from 'node:test';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { deltaMethods } from './delta-methods.ts';
import { checkShapes } from './linear-cases.ts';
import { opOf } from './linear-methods.ts';
import { variants } from './runtimes.ts';
import { mapped, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

for (const method of deltaMethods)
  test(`${method.label}: random shapes, gates, sequences and states`, () => checkShapes(runtimes, method, 20));

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
