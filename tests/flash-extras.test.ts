import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BlockList } from '../src/engines/block-list.ts';
import type { FlashExtras } from '../src/engines/flash.ts';
import type { Selection } from '../src/engines/selection.ts';
import { blockMask, DTypeError, OptionError, type Runtime, ShapeError } from '../src/index.ts';
import { flashCall } from './flash-calls.ts';
import { expectClose, randomNumbers, values } from './numbers.ts';
import { assertMet, property } from './property.ts';
import { attendExtras } from './reference/flash-extras.ts';
import { variants } from './runtimes.ts';

const size = (max: number) => fc.integer({ min: 1, max });

/** Rows of head h of batch entry b of a tensor [B, T, H, D]. */
function rowsOf(data: Float32Array, [T, H, D]: [number, number, number], b: number, h: number): number[][] {
  return Array.from({ length: T }, (_, t) => [
    ...data.subarray(((b * T + t) * H + h) * D, ((b * T + t) * H + h + 1) * D),
  ]);
}

const extrasCase = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  B: size(2),
  H: size(3),
  Tq: fc.oneof(size(5), size(150)),
  Tk: fc.oneof(size(70), size(220)),
  D: fc.constantFrom(1, 3, 18, 64, 80),
  window: fc.constantFrom<[number, number][]>([-1, -1], [-1, 0], [30, 0], [20, 25]),
  positions: fc.constantFrom('none', 'sorted', 'shuffled', 'shared', 'repeated'),
  self: fc.boolean(),
  skip: fc.boolean(),
  pairs: fc.constantFrom('all', 'list', 'selection'),
});

test('positions, self scores and passing over equal float64, alone, together, with lists and with selections', async () => {
  const runtimes = await variants();
  let [skipped, near] = [0, 0];
  await property(extrasCase, 90, async (c) => {
    const next = randomNumbers(c.seed);
    const { B, H, Tq, Tk, D } = c;
    const selfScore = c.self ? [-1e5, -3, 0, 8][Math.floor(next() * 4)]! : undefined;
    const skipBelow = c.skip ? 0.3 + 2 * next() : undefined;
    const placesOf = (T: number) => {
      const batch = c.positions === 'shared' ? 1 : B;
      const span = c.positions === 'repeated' ? 20 : 2 * T;
      const all = Int32Array.from({ length: batch * T }, () => Math.floor(next() * span) - 5);
      if (c.positions === 'sorted') for (let b = 0; b < batch; ++b) all.subarray(b * T, (b + 1) * T).sort();
      return { batch, all, at: (b: number, i: number) => all[(batch === 1 ? 0 : b) * T + i]! };
    };
    const places = c.positions === 'none' ? undefined : { q: placesOf(Tq), k: placesOf(Tk) };
    const chosen = Uint8Array.from({ length: H * Tq * Math.ceil(Tk / 32) }, () => (next() < 0.4 ? 1 : 0));
    const shown = (h: number, i: number, j: number) =>
      c.pairs === 'all' || chosen[(h * Tq + i) * Math.ceil(Tk / 32) + Math.floor(j / 32)] === 1;
    const distance = (b: number, i: number, j: number) =>
      places ? places.k.at(b, j) - places.q.at(b, i) : j - (i + Tk - Tq);
    const data = { q: values(B * Tq * H * D, next), k: values(B * Tk * H * D, next), v: values(B * Tk * H * D, next) };
    const want = { o: new Float64Array(B * Tq * H * D), lse: new Float64Array(B * Tq * H) };
    let margin = Number.POSITIVE_INFINITY;
    for (let b = 0; b < B; ++b) {
      for (let h = 0; h < H; ++h) {
        const result = attendExtras({
          q: rowsOf(data.q, [Tq, H, D], b, h),
          k: rowsOf(data.k, [Tk, H, D], b, h),
          v: rowsOf(data.v, [Tk, H, D], b, h),
          scale: D ** -0.5,
          visible: (i, j) => {
            const away = distance(b, i, j);
            return (
              (c.window[0] < 0 || -away <= c.window[0]) && (c.window[1] < 0 || away <= c.window[1]) && shown(h, i, j)
            );
          },
          own: (i, j) => distance(b, i, j) === 0,
          selfScore,
          skipBelow,
        });
        margin = Math.min(margin, result.margin);
        skipped += result.skipped;
        for (let i = 0; i < Tq; ++i) {
          want.o.set(result.o[i]!, ((b * Tq + i) * H + h) * D);
          want.lse[(b * Tq + i) * H + h] = result.lse[i]!;
        }
      }
    }
    // a choice as near as rounding may fall either way
    if (margin < 1e-4) {
      near += 1;
      return;
    }
    for (const rt of runtimes) {
      rt.scope(() => {
        const q = rt.tensor(data.q, [B, Tq, H, D]);
        const k = rt.tensor(data.k, [B, Tk, H, D]);
        const v = rt.tensor(data.v, [B, Tk, H, D]);
        const extras: FlashExtras = {
          ...pairsAs(rt, c.pairs, { H, Tq, Tk }, shown),
          positions: places && {
            q: rt.tensor(places.q.all, [places.q.batch, Tq]),
            k: rt.tensor(places.k.all, [places.k.batch, Tk]),
          },
          selfScore,
          skipBelow,
        };
        const got = flashCall(rt, { q, k, v }, extras, { window: c.window });
        expectClose(got.o, want.o, 'o', 1e-5);
        expectClose(got.lse, want.lse, 'lse', 1e-5);
      });
    }
  });
  assertMet(skipped > 30, `${skipped} blocks were passed over`);
  assert.ok(near < 12, `${near} cases were too near to call`);
});

/** The pairs that `shown` shows as a list or a selection. */
function pairsAs(
  rt: Runtime,
  as: string,
  { H, Tq, Tk }: { H: number; Tq: number; Tk: number },
  shown: (h: number, i: number, j: number) => boolean,
): { blocks?: BlockList; selection?: Selection } {
  if (as === 'list') return { blocks: blockMask((_, h, i, j) => shown(h, i, j), { Tq, Tk, heads: H }).list };
  if (as === 'all') return {};
  const words = Math.ceil(Tk / 1024);
  const bits = new Int32Array(H * Tq * words);
  for (let row = 0; row < H * Tq; ++row) {
    for (let j = 0; j * 32 < Tk; ++j) {
      if (shown(Math.floor(row / Tq), row % Tq, j * 32)) bits[row * words + (j >> 5)]! |= 1 << (j & 31);
    }
  }
  return { selection: { bits: rt.tensor(bits, [1, H, Tq, words]), queryBlock: 1, keyBlock: 32 } };
}

test('results do not depend on the number of threads', async () => {
  const [B, H, T, D] = [2, 2, 500, 64];
  const next = randomNumbers(5);
  const data = [1, 2, 3].map(() => values(B * T * H * D, next));
  const bits = Int32Array.from({ length: H * T }, () => Math.floor(next() * 256));
  const places = Int32Array.from({ length: T }, () => Math.floor(next() * T));
  const teams = await Promise.all([1, 3].map((threads) => variants(threads)));
  const results = await Promise.all(
    teams.flatMap((team) =>
      team.map(async (rt) => {
        await rt.ready();
        const [q, k, v] = data.map((x) => rt.tensor(x, [B, T, H, D]));
        const call = { q: q!, k: k!, v: v! };
        const tensor = rt.tensor(bits, [1, H, T, 1]);
        const selection: Selection = { bits: tensor, queryBlock: 1, keyBlock: 64 };
        const at = rt.tensor(places, [1, T]);
        const mask = blockMask((_, h, i, j) => (i * 7 + j + h) % 5 < 2 && Math.floor(i / 50) !== Math.floor(j / 70), {
          Tq: T,
          Tk: T,
          heads: H,
        });
        return [
          flashCall(rt, call, { selection }, { window: [-1, 0] }),
          flashCall(rt, call, { selection, skipBelow: 1, selfScore: 2 }),
          flashCall(rt, call, { positions: { q: at, k: at } }, { window: [-1, 0] }),
          flashCall(rt, call, { blocks: mask.list }),
        ];
      }),
    ),
  );
  const perTeam = results.length / 2;
  for (let variant = 0; variant < perTeam; ++variant) assert.deepEqual(results[variant], results[variant + perTeam]);
  for (const rt of teams.flat()) rt.dispose();
});

test('what does not fit is refused by name', async () => {
  for (const rt of await variants()) {
    const [B, T, H, D] = [2, 40, 2, 8];
    const x = rt.zeros([B, T, H, D]);
    const call = { q: x, k: x, v: x };
    const bits = rt.zeros([1, 1, 40, 1], 'i32');
    const selection: Selection = { bits, queryBlock: 1, keyBlock: 8 };
    const blocks = blockMask(() => true, { Tq: T, Tk: T }).list;
    const at = rt.zeros([1, T], 'i32');
    const scores = { to: rt.zeros([B, H, T, T]), stage: 'scaled' as const };
    const before = rt.memory().blocks;
    const wrong: [FlashExtras, new (...a: never[]) => Error, RegExp][] = [
      [{ selection, blocks }, OptionError, /both given/],
      [{ selection: { ...selection, bits: rt.zeros([1, 1, 40, 1]) } }, DTypeError, /bits is f32/],
      [{ selection: { ...selection, bits: rt.zeros([3, 1, 40, 1], 'i32') } }, ShapeError, /batch of 2 or 1/],
      [{ selection: { ...selection, bits: rt.zeros([1, 3, 40, 1], 'i32') } }, ShapeError, /divisor of 2/],
      [{ selection: { ...selection, bits: rt.zeros([1, 1, 39, 1], 'i32') } }, ShapeError, /39 rows/],
      [{ selection: { ...selection, keyBlock: 1 } }, ShapeError, /1 words a row are too few for 40 keys/],
      [{ selection: { ...selection, keyBlock: 0 } }, OptionError, /keyBlock is 0/],
      [{ selection: { ...selection, queryBlock: 1.5 } }, OptionError, /queryBlock is 1.5/],
      [{ selection: { ...selection, keyLabels: rt.zeros([1, 1, 41], 'i32') } }, ShapeError, /keyLabels has shape/],
      [{ selection: { ...selection, queryLabels: rt.zeros([1, 2, 40], 'i32') } }, ShapeError, /queryLabels has shape/],
      [{ positions: { q: at, k: rt.zeros([1, 41], 'i32') } }, ShapeError, /positions.k has shape/],
      [{ positions: { q: rt.zeros([1, T]), k: at } }, DTypeError, /positions.q is f32/],
      [{ selfScore: Number.NaN }, OptionError, /selfScore is NaN/],
      [{ skipBelow: -1 }, OptionError, /skipBelow is -1/],
    ];
    const made = rt.memory().blocks - before;
    for (const [extras, error, message] of wrong) {
      assert.throws(
        () => flashCall(rt, call, extras),
        (thrown: Error) => thrown instanceof error && message.test(thrown.message),
        String(message),
      );
    }
    assert.throws(() => flashCall(rt, call, { selection }, { scores }), OptionError);
    assert.equal(rt.memory().blocks - before, made);
  }
});
