import { after, test } from 'node:test';
import { selectiveScan } from '../src/index.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { selectiveScan as reference, type SelectiveScanInputs } from './reference/selective-scan.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, normal, randomFrom, type Sample } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

type Inputs = Record<'u' | 'delta' | 'A' | 'B' | 'C', FloatSample> & Record<string, Sample>;

function inputsOf(
  seed: number,
  [t, d, n]: readonly [number, number, number],
  delta: (random: () => number, i: number) => number,
  extras = false,
): Inputs {
  const random = randomFrom(seed);
  return {
    u: normal(random, [1, t, d]),
    delta: floats([1, t, d], (i) => delta(random, i)),
    A: floats([d, n], (i) => -1 - (i % n)),
    B: normal(random, [1, t, n]),
    C: normal(random, [1, t, n]),
    ...(extras && { z: normal(random, [1, t, d], 3), deltaBias: floats([d], () => random() - 0.5) }),
  };
}

async function check(inputs: Inputs, options: { deltaSoftplus?: boolean }, what: string): Promise<void> {
  const wanted = expected((round) => reference(inputs as SelectiveScanInputs, options, round));
  for (const rt of runtimes) {
    assertAccurate(await call(rt, selectiveScan, inputs, options), wanted, `${rt.variant}: ${what}`);
  }
}

test('no states, 1 to 20, and as many as of 64 and 128: whatever is left of the states taken together', async () => {
  for (const n of [...Array.from({ length: 21 }, (_, i) => i), 63, 64, 65, 128]) {
    await check(
      inputsOf(n, [5, 6, n], (random) => 0.1 * random()),
      {},
      `n ${n}`,
    );
  }
});

test('tokens and channels around those of a fetch and of a block, with and without softplus, bias and gate', async () => {
  for (const [t, d] of [
    [7, 127],
    [8, 128],
    [9, 129],
    [16, 257],
    [17, 1],
  ] as const) {
    for (const softplus of [false, true]) {
      for (const extras of [false, true]) {
        const delta = (random: () => number) => (softplus ? 4 * random() - 5 : 0.6 + 0.3 * random());
        const what = `t ${t}, d ${d}, softplus ${softplus}, extras ${extras}`;
        await check(inputsOf(t + d, [t, d, 3], delta, extras), { deltaSoftplus: softplus }, what);
      }
    }
  }
});

test('one block of slow and of ever so strong channels, its tokens in turn within and beyond each limit', async () => {
  // the falls of a token, largest first: over 120 bits, over 13, just below 13, two of which take a state near 2^-26, small
  const falls = [150, 121, 119, 40, 13.1, 12.9, 12.9, 12.9, 6, 0.5, 0.01, 0.01];
  for (const strong of [0, 1, 11]) {
    const [t, d, n] = [60, 12, 4];
    const delta = (_: () => number, i: number) => {
      const [token, channel] = [Math.floor(i / d), i % d];
      return channel === strong ? (falls[(7 * token) % falls.length]! / n) * Math.LN2 : 0.003;
    };
    await check(inputsOf(strong, [t, d, n], delta), {}, `channel ${strong}`);
  }
});

test('tokens of every fall in a row: silent states pass from 1 through all that is normal to nothing', async () => {
  for (const bits of [0.4, 3, 6.4, 6.6, 12.9, 13.1, 26, 60, 119, 121]) {
    const [t, d, n] = [120, 5, 2];
    const inputs = inputsOf(3, [t, d, n], () => (bits / n) * Math.LN2);
    inputs.u = floats([1, t, d], (i) => (i < d ? 1 : 0));
    await check(inputs, {}, `${bits} bits a token`);
  }
});
