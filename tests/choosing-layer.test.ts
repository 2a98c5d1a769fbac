// A layer that keeps all tokens and lets single queries choose, against the operations on all of its rows at once.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { choosingLayer, restoreChoosingLayer } from '../src/cache/choosing-layer.ts';
import type { LayerCache } from '../src/cache/layer-cache.ts';
import type { ChoosingPolicy } from '../src/cache/side-tables.ts';
import {
  attentionSync,
  CacheDataError,
  CacheFullError,
  doubleSparsitySync,
  hashAttentionSync,
  hashSignaturesSync,
  lokiSync,
  OptionError,
  questSync,
  type Runtime,
  ShapeError,
  sparqSync,
  type Tensor,
} from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import { assertNear } from './accuracy.ts';
import { assertMet, property } from './property.ts';
import { variants } from './runtimes.ts';
import { normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

// scratch is a block that the first call takes for good
for (const rt of runtimes)
  rt.scope(() => attentionSync({ q: rt.zeros([1, 1, 1, 4]), k: rt.zeros([1, 1, 1, 4]), v: rt.zeros([1, 1, 1, 4]) }));

const [kvHeads, heads, headDim, capacity] = [2, 4, 18, 150];
const size = { layer: 0, layers: 1, kvHeads, headDim, capacity };

interface Operands {
  q: Tensor;
  k: Tensor;
  v: Tensor;
}

/** Policies and the operation that each is. */
function policies(rt: Runtime): Record<string, { policy: ChoosingPolicy; op: (inputs: Operands) => { o: Tensor } }> {
  const channels = rt.tensor(Int32Array.of(0, 3, 7, 17, 1, 2, 4, 9), [kvHeads, 4]);
  const basis = rt.tensor(normal(randomFrom(5), [kvHeads, 5, headDim]).data, [kvHeads, 5, headDim]);
  const taken = { topk: 9, sinks: 2, recent: 3 };
  const net = { planes: rt.tensor(normal(randomFrom(6), [1, headDim, 20]).data, [1, headDim, 20]) };
  return {
    quest: {
      policy: { kind: 'quest', topk: 3, pageSize: 7 },
      op: (inputs) => questSync(inputs, { topk: 3, pageSize: 7 }),
    },
    sparq: {
      policy: { kind: 'sparq', topk: 11, r: 5, local: 4 },
      op: (inputs) => sparqSync(inputs, { topk: 11, r: 5, local: 4 }),
    },
    doubleSparsity: {
      policy: { kind: 'doubleSparsity', channels, ...taken },
      op: (inputs) => doubleSparsitySync({ ...inputs, channels }, taken),
    },
    hashAttention: {
      policy: { kind: 'hashAttention', q: net, k: net, ...taken },
      op(inputs) {
        const [qBits, kBits] = [inputs.q, inputs.k].map((x) => hashSignaturesSync({ x, ...net }).bits) as [
          Tensor,
          Tensor,
        ];
        return hashAttentionSync({ ...inputs, qBits, kBits }, { ...taken, bits: 20 });
      },
    },
    loki: { policy: { kind: 'loki', basis, ...taken }, op: (inputs) => lokiSync({ ...inputs, basis }, taken) },
  };
}

/** What was put into a layer. */
interface Fed {
  k: number[];
  v: number[];
}

const rowNumbers = kvHeads * headDim;

/** One program that appends tokens and attends with their queries, or only attends. */
function feed(rt: Runtime, layer: LayerCache, fed: Fed, count: number, random: () => number, together: boolean) {
  const rows = () => normal(random, [1, count, kvHeads, headDim]);
  const [k, v, q] = [rows(), rows(), normal(random, [1, count, heads, headDim])];
  const operands = rt.scope(() => ({
    q: rt.tensor(q.data, q.shape),
    k: rt.tensor(k.data, k.shape),
    v: rt.tensor(v.data, v.shape),
  }));
  const query = { q: operands.q, scale: 0.3, softcap: 0 };
  layer.reserve(count);
  rt.poison();
  let o: Tensor;
  if (together) {
    const commits: (() => void)[] = [];
    o = runSync('feed', operands, (b) => {
      commits.push(layer.append(b, operands.k, operands.v).commit);
      const result = layer.attend(b, query);
      commits.push(() => result.commit?.());
      return result.o;
    });
    for (const commit of commits) commit();
  } else {
    let commit = () => {};
    runSync('append', operands, (b) => {
      ({ commit } = layer.append(b, operands.k, operands.v));
    });
    commit();
    o = runSync('attend', operands, (b) => layer.attend(b, query).o);
  }
  fed.k.push(...k.data);
  fed.v.push(...v.data);
  const got = { shape: o.shape, data: o.dataSync() as Float32Array };
  for (const tensor of [o, ...Object.values(operands)]) tensor.dispose();
  return { got, q };
}

/** The same by an operation on all rows. */
function wanted(
  rt: Runtime,
  fed: Fed,
  q: { data: Float32Array<ArrayBuffer>; shape: readonly number[] },
  op: (inputs: Operands) => { o: Tensor },
) {
  return rt.scope(() => {
    const shape = [1, fed.k.length / rowNumbers, kvHeads, headDim];
    // the scale of the layer's queries goes into q
    const scaled = Float32Array.from(q.data, (x) => x * 0.3 * Math.sqrt(headDim));
    const { o } = op({ q: rt.tensor(scaled, q.shape), k: rt.tensor(fed.k, shape), v: rt.tensor(fed.v, shape) });
    return { shape: o.shape, data: o.dataSync() as Float32Array };
  });
}

const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('feed'),
        count: fc.constantFrom(1, 1, 1, 1, 2, 9, 40),
        together: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('truncate'), share: fc.double({ min: 0.3, max: 1, noNaN: true }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('fork') }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restore') }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('drop') }) },
  ),
  { minLength: 8, maxLength: 22 },
);

for (const name of ['quest', 'sparq', 'doubleSparsity', 'loki', 'hashAttention']) {
  test(`${name}: appends, truncations, forks and restored bytes attend as the operation does on the rows`, async () => {
    let chosen = 0;
    await property(fc.record({ seed: fc.nat(), steps }), 12, async ({ seed, steps: commands }) => {
      const check = (rt: Runtime) => {
        const random = randomFrom(seed);
        const { policy, op } = policies(rt)[name]!;
        const { blocks } = rt.memory();
        let layers = [{ layer: choosingLayer(rt, size, policy), fed: { k: [], v: [] } as Fed }];
        for (const command of commands as { do: string; count?: number; together?: boolean; share?: number }[]) {
          const at = Math.floor(random() * layers.length);
          const { layer, fed } = layers[at]!;
          if (command.do === 'feed' && layer.length + command.count! <= capacity) {
            const { got, q } = feed(rt, layer, fed, command.count!, random, command.together!);
            const want = wanted(
              rt,
              fed,
              q,
              command.count === 1 ? op : (inputs) => attentionSync(inputs, { causal: true }),
            );
            if (command.count === 1 && layer.length > 25) chosen++;
            assertNear(got, want, 5e-6, `${rt.variant}: ${command.count} of ${layer.length}`);
          } else if (command.do === 'truncate') {
            const length = Math.floor(layer.length * command.share!);
            layer.truncate(length);
            fed.k.length = length * rowNumbers;
            fed.v.length = length * rowNumbers;
          } else if (command.do === 'fork' && layers.length < 3) {
            layers.push({ layer: layer.fork(), fed: { k: [...fed.k], v: [...fed.v] } });
          } else if (command.do === 'restore') {
            const saved = layer.save();
            const restored = restoreChoosingLayer(rt, size, policy, saved);
            assert.deepEqual(restored.save(), saved);
            assert.equal(restored.bytes, layer.bytes);
            layer.dispose();
            layers[at] = { layer: restored, fed };
          } else if (command.do === 'drop' && layers.length > 1) {
            layer.dispose();
            layers = layers.filter((_, n) => n !== at);
          }
          for (const each of layers) {
            assert.equal(each.layer.length, each.fed.k.length / rowNumbers);
            assert.equal(each.layer.held, each.layer.length);
          }
        }
        for (const { layer } of layers) layer.dispose();
        assert.equal(rt.memory().blocks, blocks, 'blocks of memory');
      };
      for (const rt of runtimes) rt.scope(() => check(rt));
    });
    assertMet(chosen > 30, `only ${chosen} queries chose`);
  });
}

test('bytes are those of the rows and tables of the tokens, and saved bytes those of the rows', () => {
  const rt = runtimes[0]!;
  rt.scope(() => {
    const methods = policies(rt);
    const rows = 2 * 4 * rowNumbers;
    const tables: Record<string, (n: number) => number> = {
      quest: (n) => Math.ceil(n / 7) * 2 * 4 * rowNumbers,
      sparq: (n) => n * 4 * rowNumbers + Math.ceil(n / 64) * 4 * rowNumbers,
      doubleSparsity: (n) => n * 4 * 4 * kvHeads,
      loki: (n) => n * 5 * 4 * kvHeads,
      hashAttention: (n) => n * 4 * kvHeads,
    };
    for (const [name, { policy }] of Object.entries(methods)) {
      const layer = choosingLayer(rt, size, policy);
      const fed = { k: [], v: [] };
      const header = layer.save().length;
      for (const count of [0, 1, 64, 7]) {
        if (count > 0) feed(rt, layer, fed, count, randomFrom(count), true);
        const n = layer.length;
        assert.equal(layer.bytes, n * rows + tables[name]!(n), `${name}: ${n} tokens`);
        // the header has the number of tokens in it
        assert.equal(layer.save().length, header + String(n).length - 1 + n * rows);
      }
      layer.dispose();
    }
    const half = choosingLayer(rt, size, { kind: 'quest', topk: 2, dtype: 'bf16', pageSize: 16 });
    feed(rt, half, { k: [], v: [] }, 33, randomFrom(1), false);
    assert.equal(half.bytes, 33 * rows + 3 * 2 * 2 * rowNumbers);
    half.dispose();
  });
});

test('past its capacity, of other bytes, of policies that do not fit: errors by name, and nothing changed', () => {
  const rt = runtimes[0]!;
  const { quest, doubleSparsity, loki } = policies(rt);
  const layer = choosingLayer(rt, size, quest!.policy);
  const fed: Fed = { k: [], v: [] };
  feed(rt, layer, fed, 140, randomFrom(1), true);
  const saved = layer.save();
  assert.throws(() => layer.reserve(11), CacheFullError);
  const many = rt.zeros([1, 11, kvHeads, headDim]);
  assert.throws(() => runSync('append', { many }, (b) => layer.append(b, many, many)), CacheFullError);
  const other = rt.zeros([1, 2, kvHeads + 1, headDim]);
  assert.throws(() => runSync('append', { other }, (b) => layer.append(b, other, other)), ShapeError);
  assert.throws(() => layer.truncate(141), OptionError);
  assert.throws(() => layer.truncate(-1), OptionError);
  assert.deepEqual(layer.save(), saved);
  layer.reserve(10);
  const { used } = rt.memory();
  const restore = (bytes: Uint8Array) => restoreChoosingLayer(rt, size, quest!.policy, bytes);
  const random = randomFrom(7);
  for (let n = 0; n < 40; n++) {
    const place = n < 24 ? n : Math.floor(random() * saved.length);
    const changed = saved.slice();
    changed[place]! ^= 1 + Math.floor(random() * 255);
    assert.throws(() => restore(changed), CacheDataError, `byte ${place}`);
    assert.throws(() => restore(saved.slice(0, place)), CacheDataError, `${place} bytes`);
  }
  assert.throws(() => restore(Uint8Array.of(...saved.slice(0, 100), 1, 2, 3)), CacheDataError);
  assert.throws(() => restoreChoosingLayer(rt, { ...size, capacity: 100 }, quest!.policy, saved), CacheDataError);
  assert.throws(() => restoreChoosingLayer(rt, { ...size, kvHeads: 1 }, quest!.policy, saved), CacheDataError);
  for (const policy of [
    { kind: 'quest' },
    { kind: 'quest', topk: 0 },
    { kind: 'sparq', topk: 3 },
    { kind: 'sparq', topk: 3, r: headDim + 1 },
    { kind: 'other', topk: 3 },
    { ...doubleSparsity!.policy, sinks: -1 },
    { kind: 'hashAttention', topk: 3 },
  ]) {
    assert.throws(
      () => choosingLayer(rt, size, policy as ChoosingPolicy),
      OptionError,
      JSON.stringify(Object.keys(policy)),
    );
  }
  assert.throws(() => choosingLayer(rt, { ...size, headDim: 20 }, loki!.policy), ShapeError);
  assert.equal(rt.memory().used, used, 'memory');
  // a program that was laid out and never ran leaves the cache as it was
  const one = rt.zeros([1, 1, kvHeads, headDim]);
  assert.throws(() =>
    runSync('fails', { one }, (b) => {
      layer.append(b, one, one);
      throw new Error('on the way');
    }),
  );
  assert.deepEqual(layer.save(), saved);
  const next = feed(rt, layer, fed, 1, randomFrom(3), false);
  assertNear(next.got, wanted(rt, fed, next.q, quest!.op), 5e-6, 'after a failed program');
  for (const tensor of [many, other, one]) tensor.dispose();
  layer.dispose();
});

test('tokens that were written and never committed leave no trace in the tables', () => {
  for (const rt of runtimes) {
    rt.scope(() => {
      for (const [name, { policy, op }] of Object.entries(policies(rt))) {
        const layer = choosingLayer(rt, size, policy);
        const fed: Fed = { k: [], v: [] };
        const random = randomFrom(11);
        feed(rt, layer, fed, 75, random, true);
        const far = rt.tensor(new Float32Array(5 * rowNumbers).fill(1e3), [1, 5, kvHeads, headDim]);
        runSync('append', { far }, (b) => {
          layer.append(b, far, far);
        });
        const q = normal(random, [1, 1, heads, headDim]);
        const query = { q: rt.tensor(q.data, q.shape), scale: 0.3, softcap: 0 };
        const o = runSync('attend', query, (b) => layer.attend(b, query).o);
        assertNear({ shape: o.shape, data: o.dataSync() }, wanted(rt, fed, q, op), 5e-6, `${rt.variant}: ${name}`);
        const next = feed(rt, layer, fed, 1, random, true);
        assertNear(next.got, wanted(rt, fed, next.q, op), 5e-6, `${rt.variant}: ${name}, one more`);
        layer.dispose();
      }
    });
  }
});
