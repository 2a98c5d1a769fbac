import type { Tensor } from '../../src/index.ts';

/** A call whose results are freed. */
export type Call = () => { readonly o: Tensor; readonly lse?: Tensor };

/** Milliseconds of the shortest of `rounds` calls of each, in turns. */
export async function shortest(rounds: number, calls: readonly Call[]): Promise<number[]> {
  const best = calls.map(() => Number.POSITIVE_INFINITY);
  for (let i = 0; i < rounds; ++i) {
    for (const [n, call] of calls.entries()) {
      const start = performance.now();
      const { o, lse } = call();
      best[n] = Math.min(best[n]!, performance.now() - start);
      o.dispose();
      lse?.dispose();
      // the engine compiles kernels anew between calls
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  return best;
}
