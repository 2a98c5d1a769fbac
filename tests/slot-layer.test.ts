// Cache layers that let tokens go.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { restoreSlotLayer, type SlotLayerOptions, type SlotPolicy, slotLayer } from '../src/cache/index.ts';
import type { LayerCache } from '../src/cache/layer-cache.ts';
import {
  CacheDataError,
  CacheFullError,
  DTypeError,
  h2oSync,
  OptionError,
  pyramidBudgets,
  ShapeError,
  type Tensor,
  tovaSync,
} from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import { assertAccurate, assertSameBits, expected } from './accuracy.ts';
import { feed, feedParts, leavingNothing, type Prompt, promptOf, sizeFor } from './layer-feed.ts';
import { assertMet, property } from './property.ts';
import { attendKeys, evicting, votedKeys } from './reference/evict.ts';
import { float64, type NdArray, offset, type Round, zeros } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, floats, mapped, quantised, roundToBfloat, roundToHalf } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** Tokens that each head holds, in ascending order. */
function heldBy(layer: LayerCache, heads: number): number[][] {
  const { positions } = layer as LayerCache & { positions: Int32Array };
  const n = positions.length / heads;
  return Array.from({ length: heads }, (_, h) => [...positions.slice(h * n, (h + 1) * n)].sort((a, b) => a - b));
}

const stored: Record<string, (x: FloatSample) => FloatSample> = {
  f32: (x) => x,
  f16: (x) => mapped(x, roundToHalf),
  bf16: (x) => mapped(x, roundToBfloat),
  i8: (x) => quantised(x).value,
};

test('h2o and tova: any parts of a prompt, and its tokens one by one, give the same, which is that of the ops', async () => {
  const met = { let: 0, narrow: 0, shared: 0 };
  await property(
    fc.record({
      seed: fc.nat(),
      t: fc.constantFrom(1, 2, 63, 65),
      hkv: fc.integer({ min: 1, max: 2 }),
      group: fc.constantFrom(1, 2, 3),
      d: fc.constantFrom(1, 3, 18, 64),
      budget: fc.constantFrom(1, 4, 20, 30, 66),
      method: fc.constantFrom('h2o' as const, 'tova' as const, 'tova' as const),
      perHead: fc.boolean(),
      dtype: fc.constantFrom('f32' as const, 'f16' as const, 'bf16' as const, 'i8' as const),
      cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
    }),
    40,
    async ({ seed, t, hkv, group, d, budget, method, perHead, dtype, cuts }) => {
      const prompt = promptOf(seed, t, hkv, group, d);
      const recent = method === 'h2o' ? Math.floor(budget / 2) : 0;
      const policy: SlotPolicy =
        method === 'h2o' ? { kind: 'h2o', heavy: budget - recent, recent } : { kind: 'tova', budget, perHead };
      const ends = [...cuts.map((cut) => Math.round(cut * t)), t].sort((a, b) => a - b);
      const kept = { q: prompt.q, k: stored[dtype]!(prompt.k), v: stored[dtype]!(prompt.v) };
      const eviction = { budget, recent, addSums: method === 'h2o', perHead: method === 'h2o' || perHead };
      for (const rt of runtimes) {
        leavingNothing(rt, () => {
          const size = sizeFor(prompt, 80);
          const [whole, parted, single] = [1, 2, 3].map(() => slotLayer(rt, size, { policy, dtype }));
          const got = feed(rt, whole!, prompt, 0, t);
          const each = Array.from({ length: t }, (_, i) => i + 1);
          assertSameBits(feedParts(rt, parted!, prompt, ends), got, `${rt.variant}: parts end at ${ends}`);
          assertSameBits(feedParts(rt, single!, prompt, each), got, `${rt.variant}: one by one`);
          for (const layer of [whole, parted, single]) {
            assert.equal(layer!.length, t);
            assert.equal(layer!.held, Math.min(t, budget));
          }
          const units = eviction.perHead ? hkv : 1;
          assert.deepEqual(heldBy(parted!, units), heldBy(whole!, units));
          if (dtype === 'f32') {
            rt.scope(() => {
              const [q, k, v] = [prompt.q, prompt.k, prompt.v].map((x) => rt.tensor(x.data, x.shape)) as [
                Tensor,
                Tensor,
                Tensor,
              ];
              const { o } =
                policy.kind === 'h2o'
                  ? h2oSync({ q, k, v }, { heavy: policy.heavy, recent })
                  : tovaSync({ q, k, v }, { budget, perHead });
              assertSameBits({ shape: o.shape, data: o.dataSync() }, got, `${rt.variant}: the op`);
            });
          } else if (evicting(kept, eviction).gap > 2e-5) {
            const wanted = expected((round) => ({ o: evicting(kept, eviction, round).o }));
            assertAccurate({ o: got }, wanted, `${rt.variant} ${dtype}`);
            if (t > budget) ++met.narrow;
          }
          for (const layer of [whole, parted, single]) layer!.dispose();
        });
      }
      if (t > budget) ++met.let;
      if (t > budget && method === 'tova' && !perHead && hkv > 1) ++met.shared;
    },
  );
  for (const [name, count] of Object.entries(met)) assertMet(count >= 2, `${count} cases of ${name}`);
});

/** What a voted layer should give: causal attention to all it holds, of which a prompt leaves what its queries vote for. */
function votedReference(
  prompt: Prompt,
  ends: readonly number[],
  voting: { window: number; kernelSize: number },
  budgetAt: (length: number) => number,
  round: Round,
): { o: NdArray; held: number[][]; gap: number } {
  const { q, k } = prompt;
  const [, , heads = 0, d = 0] = q.shape;
  const kvHeads = k.shape[2]!;
  const o = zeros(q.shape);
  let held: number[][] = Array.from({ length: kvHeads }, () => []);
  let gap = Number.POSITIVE_INFINITY;
  let from = 0;
  for (const to of ends) {
    const scale = d ** -0.5;
    held = held.map((before) => [...before, ...Array.from({ length: to - from }, (_, i) => from + i)]);
    for (let h = 0; h < heads; h++) {
      const own = held[Math.floor(h / (heads / kvHeads))]!;
      for (let t = from; t < to; t++) {
        const seen = own.filter((j) => j <= t);
        attendKeys(prompt, scale, [0, t, h], seen, o, t, round);
      }
    }
    const budget = budgetAt(to);
    if (to - from > 1 && to - from >= voting.window && budget < held[0]!.length) {
      held = held.map((own, head) => {
        // the head's own tokens as a prompt
        const pick = (x: FloatSample, h: number): FloatSample =>
          floats([1, own.length, 1, d], (n) => x.data[offset(x.shape, 0, own[Math.floor(n / d)]!, h, n % d)]!);
        const group = heads / kvHeads;
        const queries = floats([1, own.length, group, d], (n) => {
          const at = offset(
            q.shape,
            0,
            own[Math.floor(n / d / group)]!,
            head * group + (Math.floor(n / d) % group),
            n % d,
          );
          return q.data[at]!;
        });
        const keys = pick(prompt.k, head);
        const voted = votedKeys({ q: queries, k: keys, v: keys }, { ...voting, capacity: budget });
        gap = Math.min(gap, voted.gap);
        return Array.from(voted.kept.data, (n) => own[n]!);
      });
    }
    from = to;
  }
  return { o, held, gap };
}

test('snapkv and pyramidkv: a prompt leaves what it votes for, later tokens all stay', async () => {
  const met = { pruned: 0, twice: 0, narrow: 0 };
  await property(
    fc.record({
      seed: fc.nat(),
      ends: fc.constantFrom([65, 66, 67], [40, 44, 64, 65], [1, 2, 3], [30, 70, 71], [2, 66]),
      hkv: fc.integer({ min: 1, max: 2 }),
      group: fc.constantFrom(1, 3),
      d: fc.constantFrom(3, 18, 64),
      window: fc.constantFrom(1, 6, 20),
      more: fc.constantFrom(0, 5, 30),
      pyramid: fc.boolean(),
      dtype: fc.constantFrom('f32' as const, 'f16' as const, 'bf16' as const),
    }),
    30,
    async ({ seed, ends, hkv, group, d, window, more, pyramid, dtype }) => {
      const prompt = promptOf(seed, ends.at(-1)!, hkv, group, d);
      const kept = { q: prompt.q, k: stored[dtype]!(prompt.k), v: stored[dtype]!(prompt.v) };
      const capacity = window + more;
      const policy: SlotPolicy = { kind: pyramid ? 'pyramidkv' : 'snapkv', capacity, window, kernelSize: 3 };
      const budgetAt = (length: number) =>
        pyramid ? pyramidBudgets({ layers: 4, capacity, window, length })[1]! : capacity;
      const reference = (round: Round) => votedReference(kept, ends, { window, kernelSize: 3 }, budgetAt, round);
      const { gap, held } = reference(float64);
      if (gap < 2e-5) return;
      const wanted = expected((round) => ({ o: reference(round).o }));
      for (const rt of runtimes) {
        leavingNothing(rt, () => {
          const layer = slotLayer(rt, sizeFor(prompt, 80), { policy, dtype });
          const got = feedParts(rt, layer, prompt, ends);
          assertAccurate({ o: got }, wanted, `${rt.variant} ${dtype}`);
          assert.deepEqual(heldBy(layer, hkv), held);
          assert.equal(layer.length, ends.at(-1));
          assert.equal(layer.held, held[0]!.length);
          layer.dispose();
        });
      }
      if (held[0]!.length < ends.at(-1)!) ++met.pruned;
      if (held[0]!.length < ends.at(-1)! && dtype !== 'f32') ++met.narrow;
      if (ends[0] === 30 && window <= 20 && more < 10) ++met.twice;
    },
  );
  for (const [name, count] of Object.entries(met)) assertMet(count >= 2, `${count} cases of ${name}`);
});

const layers: Record<string, SlotLayerOptions> = {
  h2o: { policy: { kind: 'h2o', heavy: 5, recent: 4 }, dtype: 'i8' },
  tova: { policy: { kind: 'tova', budget: 9 }, dtype: 'f16' },
  snapkv: { policy: { kind: 'snapkv', capacity: 12, window: 4 } },
  pyramidkv: { policy: { kind: 'pyramidkv', capacity: 12, window: 4 }, dtype: 'bf16' },
};

test('a softcap is that of attention', () => {
  const prompt = promptOf(8, 20, 2, 2, 18, 4);
  for (const rt of runtimes) {
    const capped = (policy: SlotPolicy) => {
      const layer = slotLayer(rt, sizeFor(prompt, 40), { policy });
      const o = feed(rt, layer, prompt, 0, 20, { softcap: 3 });
      layer.dispose();
      return o;
    };
    const dense = capped({ kind: 'snapkv', capacity: 40, window: 4 });
    const limit = { want: { o: dense }, limit: { o: 2e-6 } };
    assertAccurate({ o: capped({ kind: 'h2o', heavy: 30, recent: 0 }) }, limit, rt.variant);
    assertAccurate({ o: capped({ kind: 'tova', budget: 30 }) }, limit, rt.variant);
  }
});

test('rows that are not finite are kept as such, and leave the others alone', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const prompt = promptOf(11, 12, 2, 1, 18);
    // head 1 of token 5
    prompt.v.data[(5 * 2 + 1) * 18 + 2] = value;
    for (const rt of runtimes) {
      for (const dtype of ['f32', 'f16', 'bf16', 'i8'] as const) {
        const layer = slotLayer(rt, sizeFor(prompt, 40), { policy: { kind: 'tova', budget: 6 }, dtype });
        const { data } = feed(rt, layer, prompt, 0, 12);
        layer.dispose();
        for (let n = 0; n < data.length; n++) {
          const [t, h, c] = [Math.floor(n / 36), Math.floor(n / 18) % 2, n % 18];
          const what = `${rt.variant} ${dtype}: token ${t}, head ${h}`;
          if (h === 0 || t < 5) assert.ok(Number.isFinite(data[n]), what);
          else if (t === 5 && c === 2) assert.ok(!Number.isFinite(data[n]), what);
        }
      }
    }
  }
});

test('forks go their own ways, and what is saved goes on as if nothing had been', () => {
  const prompt = promptOf(3, 60, 2, 2, 18);
  const other = promptOf(4, 60, 2, 2, 18);
  for (const [name, options] of Object.entries(layers)) {
    for (const rt of runtimes) {
      leavingNothing(rt, () => {
        const size = sizeFor(prompt, 64);
        const make = () => slotLayer(rt, size, options);
        const [first, undisturbed] = [make(), make()];
        for (const layer of [first, undisturbed]) feedParts(rt, layer, prompt, [20, 21, 30]);
        const { used } = rt.memory();
        const fork = first.fork();
        assert.equal(rt.memory().used, used, `${name}: a fork takes no slots`);
        const saved = first.save();
        const restored = restoreSlotLayer(rt, size, options, saved);
        assert.deepEqual(restored.save(), saved, `${name}: what is restored is saved alike`);
        assert.deepEqual(
          [restored.length, restored.held, fork.length, fork.held],
          [first.length, first.held, first.length, first.held],
        );
        const aside = make();
        feedParts(rt, aside, prompt, [20, 21, 30]);
        const [there, here] = [fork, aside].map((layer) => feedParts(rt, layer, other, [40, 41], 30));
        assertSameBits(there!, here!, `${name}: a fork`);
        const want = feedParts(rt, undisturbed, prompt, [31, 40, 60], 30);
        assertSameBits(feedParts(rt, first, prompt, [31, 40, 60], 30), want, `${name}: beside a fork`);
        assertSameBits(feedParts(rt, restored, prompt, [31, 40, 60], 30), want, `${name}: restored`);
        first.dispose();
        const again = fork.fork();
        fork.dispose();
        assertSameBits(feed(rt, again, other, 41, 43), feed(rt, aside, other, 41, 43), `${name}: a fork's fork`);
        for (const layer of [undisturbed, restored, aside, again]) layer.dispose();
      });
    }
  }
});

test('tokens that wait for their queries are forked, saved and taken back too', () => {
  const prompt = promptOf(12, 60, 2, 2, 18);
  const [rt] = runtimes;
  for (const name of ['h2o', 'tova']) {
    leavingNothing(rt!, () => {
      const [size, options] = [sizeFor(prompt, 64), layers[name]!];
      const [layer, straight] = [1, 2].map(() => slotLayer(rt!, size, options)) as [LayerCache, LayerCache];
      for (const each of [layer, straight]) feedParts(rt!, each, prompt, [20]);
      const [q, k, v] = [prompt.q, prompt.k, prompt.v].map((x) => {
        const { data, shape } = { data: x.data.slice(20 * x.shape[2]! * 18), shape: [1, 40, x.shape[2]!, 18] };
        return rt!.tensor(data, shape);
      }) as [Tensor, Tensor, Tensor];
      const append = (from: number, to: number) => {
        const part = { k: k.slice(1, from, to), v: v.slice(1, from, to) };
        layer.reserve(to - from);
        runSync('append', part, (b) => layer.append(b, part.k, part.v)).commit();
      };
      append(0, 5);
      append(5, 40);
      assert.deepEqual([layer.length, layer.held], [60, 49]);
      layer.truncate(50);
      const want = feed(rt!, straight, prompt, 20, 50);
      const fork = layer.fork();
      const restored = restoreSlotLayer(rt!, size, options, layer.save());
      for (const each of [layer, fork, restored]) {
        rt!.scope(() => {
          const query = { q: q.slice(1, 0, 30), scale: 18 ** -0.5, softcap: 0 };
          const done = runSync('attend', query, (b) => each.attend(b, query));
          done.commit?.();
          assertSameBits({ shape: done.o.shape, data: done.o.dataSync() }, want, name);
        });
        assert.deepEqual(heldBy(each, 1), heldBy(straight, 1));
      }
      for (const tensor of [q, k, v]) tensor.dispose();
      for (const each of [layer, straight, fork, restored]) each.dispose();
    });
  }
});

test('tokens are taken back while none that would be needed was let go', () => {
  const prompt = promptOf(5, 60, 2, 1, 18);
  const [rt] = runtimes;
  for (const [name, options] of Object.entries(layers)) {
    leavingNothing(rt!, () => {
      const make = () => slotLayer(rt!, sizeFor(prompt, 64), options);
      const [layer, straight] = [make(), make()];
      feedParts(rt!, layer, prompt, [3, 5, 8]);
      layer.truncate(8);
      layer.truncate(4);
      assert.deepEqual([layer.length, layer.held], [4, 4], name);
      feedParts(rt!, straight, prompt, [3, 4]);
      // sums of h2o keep what queries gave that were taken back: what is let go later may differ, not what is seen now
      const want = feed(rt!, straight, prompt, 4, 8);
      assertSameBits(feed(rt!, layer, prompt, 4, 8), want, `${name}: taken back`);
      layer.truncate(0);
      assert.deepEqual([layer.length, layer.held], [0, 0], name);
      feedParts(rt!, layer, prompt, [40]);
      assert.throws(() => layer.truncate(30), /length is 30, but .*let go/, name);
      assert.throws(() => layer.truncate(41), OptionError, name);
      assert.throws(() => layer.truncate(0.5), OptionError, name);
      layer.truncate(40);
      assert.equal(layer.length, 40);
      layer.dispose();
      straight.dispose();
    });
  }
  const voted = slotLayer(rt!, sizeFor(prompt, 64), layers.snapkv!);
  feedParts(rt!, voted, prompt, [40, 41, 42]);
  voted.truncate(40);
  assert.deepEqual([voted.length, voted.held], [40, 12]);
  voted.dispose();
});

test('bytes are those allocated', () => {
  const prompt = promptOf(6, 60, 3, 1, 18);
  const [rt] = runtimes;
  const { used } = rt!.memory();
  // rows of 18 take 24 elements; a position for each slot, h2o and tova a sum, i8 two scales
  const perSlot = { h2o: 3 * (2 * 24 + 2 * 4 + 8), tova: 3 * 2 * 24 * 2 + 8 };
  const waiting = 16 * 3 * 18 * 4 * 2;
  for (const [name, options] of Object.entries(layers)) {
    const layer = slotLayer(rt!, sizeFor(prompt, 64), options);
    feedParts(rt!, layer, prompt, [10, 11]);
    if (name in perSlot) assert.equal(layer.bytes, 10 * perSlot[name as 'h2o'] + waiting, name);
    else assert.equal(layer.bytes, 64 * 3 * (2 * 24 * (name === 'snapkv' ? 4 : 2) + 4), name);
    // blocks are of whole lines
    const blocks = rt!.memory().used - used;
    assert.ok(blocks >= layer.bytes, `${name}: ${layer.bytes} bytes in ${blocks}`);
    layer.dispose();
  }
});

test('what does not fit is a named error, and changes nothing', () => {
  const prompt = promptOf(7, 60, 2, 1, 18);
  for (const rt of runtimes) {
    const size = sizeFor(prompt, 20);
    const full = slotLayer(rt, size, { policy: { kind: 'snapkv', capacity: 16, window: 16 } });
    feedParts(rt, full, prompt, [14, 20]);
    const before = full.save();
    assert.throws(() => full.reserve(1), CacheFullError);
    assert.deepEqual(full.save(), before);
    const wide = slotLayer(rt, size, { policy: { kind: 'h2o', heavy: 20, recent: 20 } });
    feedParts(rt, wide, prompt, [20]);
    assert.throws(() => wide.reserve(1), /1 more tokens make 21, its capacity is 20/);
    rt.scope(() => {
      const [row, half] = [rt.zeros([1, 1, 2, 18]), rt.zeros([1, 1, 2, 18], 'f16')];
      const asked = { q: row, scale: 1, softcap: 0 };
      for (const layer of [full, wide]) {
        const append = (k: Tensor, v: Tensor) => runSync('append', { k, v }, (b) => layer.append(b, k, v));
        const attend = (query: typeof asked) => runSync('attend', query, (b) => layer.attend(b, query));
        assert.throws(() => append(row, rt.zeros([1, 2, 2, 18])), ShapeError);
        assert.throws(() => append(rt.zeros([1, 1, 3, 18]), row), ShapeError);
        assert.throws(() => append(half, half), DTypeError);
        assert.throws(() => attend({ ...asked, q: rt.zeros([1, 1, 3, 18]) }), ShapeError);
        assert.throws(() => attend({ ...asked, q: rt.zeros([1, 21, 2, 18]) }), OptionError);
      }
      assert.throws(
        () => runSync('attend', asked, (b) => wide.attend(b, asked)),
        /1 queries for 0 tokens that have not/,
      );
    });
    assert.deepEqual(full.save(), before);
    full.dispose();
    wide.dispose();
    const make = (options: object) => () => slotLayer(rt, size, options as SlotLayerOptions);
    assert.throws(make({ policy: { kind: 'lru' } }), /kind is h2o, tova, snapkv or pyramidkv/);
    assert.throws(make({ policy: { kind: 'h2o', heavy: 0, recent: 0 } }), /both 0/);
    assert.throws(make({ policy: { kind: 'tova', budget: 4, recent: 1 } }), /no option 'recent'/);
    assert.throws(make({ policy: { kind: 'tova', budget: 4 }, dtype: 'i4' }), /dtype is i4/);
    assert.throws(make({ policy: { kind: 'snapkv', capacity: 40 }, dtype: 'i8' }), /dtype is i8/);
    assert.throws(() => slotLayer(rt, { ...size, kvHeads: 0 }, layers.h2o!), /kvHeads is 0/);
  }
});

test('a program that does not run leaves the layer as it was', () => {
  const prompt = promptOf(9, 60, 2, 1, 18);
  const [rt] = runtimes;
  for (const [name, options] of Object.entries(layers)) {
    leavingNothing(rt!, () => {
      const [layer, straight] = [1, 2].map(() => slotLayer(rt!, sizeFor(prompt, 64), options));
      feedParts(rt!, layer!, prompt, [20]);
      feedParts(rt!, straight!, prompt, [20]);
      rt!.scope(() => {
        const [q, k, v] = [prompt.q, prompt.k, prompt.v].map((x) => rt!.tensor(x.data, x.shape)) as [
          Tensor,
          Tensor,
          Tensor,
        ];
        assert.throws(
          () =>
            runSync('attend', { q, k, v }, (b) => {
              layer!.append(b, k.slice(1, 0, 9), v.slice(1, 0, 9));
              layer!.attend(b, { q: q.slice(1, 0, 9), scale: 1, softcap: 0 });
              throw new Error('no');
            }),
          /no/,
        );
      });
      assertSameBits(feed(rt!, layer!, prompt, 20, 40), feed(rt!, straight!, prompt, 20, 40), name);
      layer!.dispose();
      straight!.dispose();
    });
  }
});

test('bytes that are cut short, changed or of another layer are refused', () => {
  const prompt = promptOf(10, 30, 2, 1, 18);
  const [rt] = runtimes;
  const size = sizeFor(prompt, 64);
  for (const [name, options] of Object.entries(layers)) {
    const layer = slotLayer(rt!, size, options);
    feedParts(rt!, layer, prompt, [20]);
    const saved = layer.save();
    layer.dispose();
    leavingNothing(rt!, () => {
      const restore = (bytes: Uint8Array, other = options, where = size) =>
        assert.throws(() => restoreSlotLayer(rt!, where, other, bytes), CacheDataError, name);
      for (const length of [0, 3, 16, 40, 200, saved.length - 1]) restore(saved.slice(0, length));
      const longer = new Uint8Array(saved.length + 4);
      longer.set(saved);
      restore(longer);
      for (let at = 0; at < saved.length; at += 97) {
        const changed = saved.slice();
        changed[at]! ^= 1 << (at % 8);
        restore(changed);
      }
      restore(saved, layers[name === 'h2o' ? 'tova' : 'h2o']);
      restore(saved, options, { ...size, kvHeads: 1 });
      assert.throws(() => restoreSlotLayer(rt!, size, options, 'x' as never), CacheDataError);
    });
  }
});
