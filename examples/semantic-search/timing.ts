import { performance } from 'node:perf_hooks';
import type { Encoder } from './encoder.ts';
import type { Method } from './methods.ts';

/**
 * Milliseconds that each method's attention takes for the sentences, both layers, on the same queries, keys and values.
 *
 * The methods take turns in every round, so that whatever else the machine does falls on all of them; the median over
 * the rounds counts.
 */
export async function timeAttention(
  encoder: Encoder,
  sentences: readonly (readonly number[])[],
  methods: readonly Method[],
  rounds: number,
): Promise<number[]> {
  const totals = methods.map(() => 0);
  await encoder.embed(sentences, {
    async attend(rt, projected) {
      const inputs = await Promise.all(methods.map((method) => method.store?.(rt, projected) ?? projected));
      const times = methods.map((): number[] => []);
      // Round 0 warms up and is not counted.
      for (let round = 0; round <= rounds; round++)
        for (const [index, method] of methods.entries()) {
          const begin = performance.now();
          const o = await rt.scope(() => method.attend(rt, inputs[index]!));
          if (round > 0) times[index]!.push(performance.now() - begin);
          o.dispose();
        }
      for (const [index, list] of times.entries()) totals[index]! += median(list);
      return methods[0]!.attend(rt, projected);
    },
  });
  return totals;
}

function median(times: number[]): number {
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}
