import { after, test } from 'node:test';
import { headClusters, putHeads } from '../../src/engines/head-clusters.ts';
import { gatherSlots, heldPositions, makeSlots, putTokens, slotAttend } from '../../src/engines/slot-attention.ts';
import { votedKeys } from '../../src/engines/window-votes.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';
import { laid, laidOut, maker } from './select-programs.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const TIGHT = 1e-5;

test('slots of all types attended, token by token', async () => {
  const cases = [
    { dtype: 'f32', unitHeads: 1, group: 2, tokens: 30, queries: 30, dk: 18, dv: 20, addSums: true, softcap: 0 },
    { dtype: 'f16', unitHeads: 2, group: 1, tokens: 25, queries: 9, dk: 64, dv: 64, addSums: false, softcap: 3 },
    { dtype: 'i8', unitHeads: 1, group: 1, tokens: 17, queries: 17, dk: 9, dv: 130, addSums: true, softcap: 0 },
    { dtype: 'bf16', unitHeads: 2, group: 3, tokens: 1, queries: 1, dk: 1, dv: 3, addSums: true, softcap: 0 },
  ] as const;
  for (const [n, { dtype, unitHeads, group, tokens, queries, dk, dv, addSums, softcap }] of cases.entries()) {
    await sameOnBoth(
      (rt) => {
        const { floats } = maker(n);
        return {
          q: floats(rt, [2, queries, 2 * group, dk]),
          k: floats(rt, [2, tokens, 2, dk], 'bf16'),
          v: floats(rt, [2, tokens, 2, dv]),
          o: rt.empty([2, queries, 2 * group, dv]),
        };
      },
      laidOut((b, { q, k, v, o }) => {
        const shape = { batch: 2, slots: 13, kvHeads: 2, unitHeads, dk, dv };
        const slots = makeSlots((size, type) => b.output(size, type), shape, dtype);
        const eviction = { budget: 12, recent: 4, addSums, softcap };
        slotAttend(b, slots, { k: k!, v: v!, held: 0, start: 0 }, { ...eviction, q: q!, o: o!, scale: 0.7 });
        const held = Math.min(12, tokens);
        return { o, positions: b.keep(heldPositions(b, slots, held, tokens)), sums: slots.sums!.slice(2, 0, held) };
      }),
      TIGHT,
    );
  }
});

test('tokens put into slots, and slots gathered', async () => {
  for (const dtype of ['f32', 'f16', 'i8'] as const) {
    await sameOnBoth(
      (rt) => {
        const { floats, ints } = maker(3);
        return { k: floats(rt, [1, 9, 3, 18]), v: floats(rt, [1, 9, 3, 5]), indices: ints(rt, [1, 3, 1, 6], 0, 9) };
      },
      laidOut((b, { k, v, indices }) => {
        const shape = { batch: 1, slots: 9, kvHeads: 3, unitHeads: 1, dk: 18, dv: 5 };
        const slots = makeSlots((size, type) => b.output(size, type), shape, dtype);
        putTokens(b, slots, { k: k!, v: v!, held: 0, start: 4 });
        const rows = slots.k.permute([0, 2, 1, 3]);
        const some = b.output([1, 3, 6, 24], dtype).slice(3, 0, 18);
        gatherSlots(b, rows, indices!, some);
        return { k: slots.k, v: slots.v, some, scale: slots.kScale };
      }),
      TIGHT,
    );
  }
});

test('keys that the last queries vote for', async () => {
  for (const pooling of ['avg', 'max'] as const) {
    await sameOnBoth(
      (rt) => {
        const { floats } = maker(4);
        return { q: floats(rt, [2, 90, 4, 18]), k: floats(rt, [2, 90, 2, 18], 'f16') };
      },
      laid((b, { q, k }) => {
        const call = { q: q!, k: k!, scale: 0.5, window: 9, capacity: 40, kernelSize: 5, pooling };
        return { ...votedKeys(b, call) };
      }),
      0,
    );
  }
});

test('heads that attend alike, and heads in another order', async () => {
  await sameOnBoth(
    (rt) => {
      const { floats } = maker(5);
      return { q: floats(rt, [2, 8, 6, 18]), k: floats(rt, [2, 8, 2, 18]), labels: rt.empty([2, 6], 'i32') };
    },
    laid((b, { q, k, labels }) => {
      headClusters(b, { q: q!, k: k!, scale: 0.3, clusters: 3, tokens: 7, causal: true }, labels!);
      return { labels };
    }),
    0,
  );
  for (const [dtype, d] of [
    ['f32', 5],
    ['f16', 6],
    ['bf16', 5],
  ] as const) {
    await sameOnBoth(
      (rt) => {
        const { floats } = maker(6);
        return {
          x: floats(rt, [2, 4, 6, d]),
          order: rt.tensor(Int32Array.from([5, 0, 3]), [3], 'i32'),
          o: rt.zeros([2, 4, 3, d], dtype),
        };
      },
      laid((b, { x, order, o }) => {
        putHeads(b, x!, order!, o!);
        return { o };
      }),
      0,
    );
  }
});
