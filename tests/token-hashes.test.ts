// Tokens chosen by signatures and by tables of hashes: HashAttention, MagicPIG.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  attention,
  hashAttention,
  hashAttentionSync,
  hashSignatures,
  hashSignaturesSync,
  magicPig,
  magicPigSync,
  magicPigTables,
  magicPigTablesSync,
  OptionError,
  ShapeError,
} from '../src/index.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { callWith, decodeShapes, qkv } from './choosing.ts';
import { differing, onesOfLists } from './dynamic-methods.ts';
import { assertMet, property } from './property.ts';
import { attendChosen } from './reference/chosen.ts';
import {
  chooseTokens,
  collisions,
  hammingScores,
  magicPig as magicPigReference,
  pastTokens,
} from './reference/chosen-tokens.ts';
import { type NdArray, zeros } from './reference/ndarray.ts';
import { hash, selectAbove } from './reference/select.ts';
import { variants } from './runtimes.ts';
import { floats, ints, normal, randomFrom } from './samples.ts';

const runtimes = await variants(2);
after(() => {
  for (const rt of runtimes) rt.dispose();
});

/** silu(x w + bias) of rows [B, T, H, D]. */
function hidden(x: NdArray, w: NdArray, bias: NdArray): NdArray {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const N = w.shape[2]!;
  const o = zeros([B, T, H, N]);
  for (let at = 0; at < o.data.length; at++) {
    const [n, h, row] = [at % N, Math.floor(at / N) % H, Math.floor(at / N)];
    let sum = bias.data[h * N + n]!;
    for (let c = 0; c < D; c++) sum += x.data[row * D + c]! * w.data[(h * D + c) * N + n]!;
    o.data[at] = sum / (1 + Math.exp(-sum));
  }
  return o;
}

/** Whether some product with a plane is so small that its sign may be either. */
function nearPlane(x: NdArray, planes: NdArray): boolean {
  const [H, D] = [x.shape[2]!, x.shape[3]!];
  const [lists, , rounds, n] = planes.shape as [number, number, number, number];
  for (let row = 0; row * D < x.data.length; row++) {
    const list = lists === 1 ? 0 : row % H;
    for (let j = 0; j < rounds * n; j++) {
      let [sum, size] = [0, 0];
      for (let c = 0; c < D; c++) {
        const term = x.data[row * D + c]! * planes.data[(list * D + c) * rounds * n + j]!;
        sum += term;
        size += Math.abs(term);
      }
      if (Math.abs(sum) < 1e-6 * size) return true;
    }
  }
  return false;
}

test('hashSignatures: by planes of each head, by planes of all, behind a hidden layer', () =>
  property(
    fc.record({
      shape: decodeShapes,
      bits: fc.constantFrom(1, 8, 31, 32),
      net: fc.constantFrom('own', 'all', 'hidden'),
    }),
    25,
    async ({ shape, bits, net }) => {
      const { k: x } = qkv(shape);
      const [H, D] = [shape.hkv, shape.d];
      const random = randomFrom(shape.seed + 1);
      const N = net === 'hidden' ? 9 : D;
      const planes = normal(random, [net === 'all' ? 1 : H, N, bits]);
      const rest = net === 'hidden' ? { w: normal(random, [H, D, N]), bias: normal(random, [H, N]) } : {};
      const rows = net === 'hidden' ? hidden(x, rest.w!, rest.bias!) : x;
      const four = { shape: [planes.shape[0]!, N, 1, bits], data: planes.data };
      if (nearPlane(rows, four)) return;
      const want = hash(rows, four, true);
      for (const rt of runtimes) {
        const got = await call(rt, hashSignatures, { x, planes, ...rest });
        assert.deepEqual(Array.from(got.bits.data), Array.from(want.data), rt.variant);
      }
    },
  ));

test('hashAttention: tokens as sets, ties to the earlier one, results of what was chosen', async () => {
  let fewer = 0;
  await property(
    fc.record({
      shape: decodeShapes,
      topk: fc.constantFrom(0, 1, 7, 64, 400),
      sinks: fc.constantFrom(0, 0, 3),
      recent: fc.constantFrom(0, 0, 5),
      bits: fc.constantFrom(3, 12, 32),
    }),
    40,
    async ({ shape, topk, sinks, recent, bits }) => {
      const inputs = qkv(shape);
      const random = randomFrom(shape.seed + 1);
      const word = () => Math.floor(random() * 2 ** bits) | 0;
      const some = (...axes: number[]) => ints(Array.from({ length: axes.reduce((a, b) => a * b) }, word), axes);
      const qBits = some(shape.batch, shape.hkv * shape.group, shape.tq);
      const kBits = some(shape.batch, shape.hkv, shape.tk);
      const want = chooseTokens(inputs, hammingScores(qBits, kBits, bits), { topk, sinks, recent });
      if (topk < shape.tk) fewer++;
      const wanted = expected((round) => attendChosen(inputs, want, { causal: true }, round));
      for (const rt of runtimes) {
        const options = { topk, sinks, recent, bits, returnSelection: true };
        const got = await callWith(rt, hashAttention, { ...inputs, qBits, kBits }, options);
        assert.equal(differing(onesOfLists(got.indices!, got.counts!, shape.tk), want), 0, `${rt.variant}: chosen`);
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  );
  assertMet(fewer > 15, `only ${fewer} cases leave tokens out`);
});

test('magicPig: the sampled tokens, and logits that make up for it; tables made and given', async () => {
  let [sampled, all] = [0, 0];
  await property(
    fc.record({
      shape: decodeShapes,
      tables: fc.constantFrom(2, 10, 40),
      bits: fc.constantFrom(1, 4, 8),
      sinks: fc.constantFrom(0, 2),
      recent: fc.constantFrom(0, 3),
    }),
    16,
    async ({ shape, tables, bits, sinks, recent }) => {
      const inputs = qkv(shape);
      const options = { sinks, recent, returnSelection: true };
      for (const rt of runtimes) {
        const made = await call(rt, magicPigTables, { k: inputs.k }, { tables, bits, seed: shape.seed });
        const planes = floats(made.planes.shape, (n) => made.planes.data[n]!);
        const [D, L, K] = planes.shape as [number, number, number];
        const four = { shape: [1, D, L, K], data: planes.data };
        // keys less their mean
        const [B, T, H] = inputs.k.shape as [number, number, number];
        const centred = floats(inputs.k.shape, (n) => {
          const [c, h, b] = [n % D, Math.floor(n / D) % H, Math.floor(n / D / H / T)];
          return inputs.k.data[n]! - made.mean.data[(b * H + h) * D + c]!;
        });
        assert.equal(made.hashes.shape[0], B);
        if (T === 1 || nearPlane(inputs.q, four) || nearPlane(centred, four)) return;
        const hashes = hash(centred, four, true);
        assert.deepEqual(Array.from(made.hashes.data), Array.from(hashes.data), `${rt.variant}: hashes`);
        const counts = collisions(hash(inputs.q, four, true), hashes, tables);
        const visible = pastTokens(inputs);
        const want = selectAbove(counts, 1.5, { first: sinks, last: recent, visible });
        const given = {
          ...inputs,
          planes,
          hashes: ints([...hashes.data], hashes.shape),
          mean: floats(made.mean.shape, (n) => made.mean.data[n]!),
        };
        const plain = await call(rt, magicPig, { ...inputs, planes }, options);
        const got = await call(rt, magicPig, given, options);
        assertSameBits(plain.o, got.o, `${rt.variant}: tables made and given`);
        const chosen = onesOfLists(got.indices!, got.counts!, shape.tk);
        assert.equal(differing(chosen, want), 0, `${rt.variant}: sampled`);
        for (let n = 0; n < chosen.data.length; n++) sampled += chosen.data[n]!;
        all += chosen.data.length;
        const wanted = expected((round) => magicPigReference(inputs, { bits, tables, sinks, recent }, chosen, round));
        assertAccurate({ o: got.o, lse: got.lse }, wanted, rt.variant);
      }
    },
  );
  assertMet(sampled > 0.05 * all && sampled < 0.95 * all, `${sampled} of ${all} were sampled`);
});

test('all tokens chosen, or sampled almost surely: causal attention', async () => {
  const shape = { seed: 3, batch: 2, tq: 2, tk: 75, hkv: 2, group: 2, d: 18, dv: 20 };
  const inputs = qkv(shape);
  const zerosOf = (...axes: number[]) => ints(new Array(axes.reduce((a, b) => a * b)).fill(0), axes);
  const signatures = { qBits: zerosOf(2, 4, 2), kBits: zerosOf(2, 2, 75) };
  for (const rt of runtimes) {
    const dense = await call(rt, attention, { ...inputs }, { causal: true });
    const hashed = await callWith(rt, hashAttention, { ...inputs, ...signatures }, { topk: 75 });
    assertNear(hashed.o, dense.o, 2e-6, rt.variant);
    const { planes } = await call(rt, magicPigTables, { k: inputs.k }, { tables: 600, bits: 1 });
    const drawn = floats(planes.shape, (n) => planes.data[n]!);
    const sampled = await call(rt, magicPig, { ...inputs, planes: drawn });
    assertNear(sampled.o, dense.o, 1e-3, `${rt.variant}: sampled`);
    const forced = await call(rt, magicPig, { ...inputs, planes: drawn }, { sinks: 40, recent: 40 });
    assertNear(forced.o, dense.o, 2e-6, `${rt.variant}: forced`);
  }
});

test('a seed is a sample; what does not fit is refused by name', async () => {
  const rt = runtimes[0]!;
  const k = normal(randomFrom(1), [1, 9, 2, 8]);
  const draw = async (seed: number) => {
    const { planes } = await call(rt, magicPigTables, { k }, { tables: 3, bits: 4, seed });
    return Array.from(planes.data);
  };
  assert.deepEqual(await draw(5), await draw(5));
  assert.notDeepEqual(await draw(5), await draw(6));
  rt.scope(() => {
    const q = rt.zeros([1, 1, 4, 8]);
    const keys = rt.zeros([1, 20, 2, 8]);
    const right = { q, k: keys, v: keys };
    const qBits = rt.zeros([1, 4, 1], 'i32');
    const kBits = rt.zeros([1, 2, 20], 'i32');
    const planes = rt.zeros([8, 3, 4]);
    const refused = (work: () => unknown, error: new (m: string) => Error, says: RegExp) => {
      const { used } = rt.memory();
      assert.throws(
        () => rt.scope(work),
        (thrown) => thrown instanceof error && says.test(thrown.message),
        `${says}`,
      );
      assert.equal(rt.memory().used, used, `${says}: memory`);
    };
    const hashed = (inputs: object, options: object) =>
      hashAttentionSync({ ...right, qBits, kBits, ...inputs }, { topk: 2, ...options });
    refused(() => hashed({ kBits: rt.zeros([1, 2, 21], 'i32') }, {}), ShapeError, /kBits has shape/);
    refused(() => hashed({}, { bits: 33 }), OptionError, /bits is 33/);
    refused(() => hashed({}, { topk: undefined }), OptionError, /topk is missing/);
    refused(() => hashSignaturesSync({ x: keys, planes: rt.zeros([2, 8, 33]) }), ShapeError, /1 to 32 planes/);
    refused(() => hashSignaturesSync({ x: keys, planes: rt.zeros([2, 9, 4]) }), ShapeError, /planes has shape/);
    refused(() => magicPigSync({ ...right, planes }, { topk: 3 } as never), OptionError, /no option 'topk'/);
    refused(() => magicPigSync({ ...right, planes: rt.zeros([8, 1, 4]) }), ShapeError, /at least 2 tables/);
    refused(() => magicPigSync({ ...right, planes, mean: rt.zeros([1, 2, 8]) }), OptionError, /go together/);
    refused(() => magicPigTablesSync({ k: keys }, { bits: 40 }), OptionError, /bits is 40/);
    const none = { q, k: keys.slice(1, 0, 0), v: keys.slice(1, 0, 0) };
    const empty = hashAttentionSync({ ...none, qBits, kBits: kBits.slice(2, 0, 0) }, { topk: 2 });
    assert.deepEqual([...empty.o.dataSync()], new Array(32).fill(0));
  });
});
