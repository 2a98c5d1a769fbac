import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { calibrateKeys, fitCodebook } from '../src/cache/calibrate.ts';
import { codeBytesPerToken, codeLayer, restoreCodeLayer } from '../src/cache/code-layer.ts';
import { type CodePlan, int4Plan, kiviPlan, kvquantPlan, type SidePlan } from '../src/cache/code-plan.ts';
import type { LayerCache, LayerSize } from '../src/cache/layer-cache.ts';
import {
  CacheDataError,
  CacheFullError,
  dequantizeKvSync,
  OptionError,
  quantizeKvSync,
  type Runtime,
  type WasmRuntime,
} from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import { assertNear, assertSameBits, expected } from './accuracy.ts';
import { quantizedAttention as reference } from './reference/codes.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { type FloatSample, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const size: LayerSize = { layer: 0, layers: 1, kvHeads: 2, headDim: 32, capacity: 300 };
const row = size.kvHeads * size.headDim;
const calibration = calibrateKeys(normal(randomFrom(1), [200, 2, 32]).data, [200, 2, 32], { bits: 4, outliers: 0.02 });

const plans: Record<string, CodePlan> = {
  int4: int4Plan(),
  'KIVI, 4 bits': kiviPlan({ bits: 4, group: 32, residual: 64 }),
  'KIVI, 2 bits': kiviPlan({ bits: 2, group: 32, residual: 32 }),
  KVQuant: kvquantPlan(32, calibration, { outliers: 1, rope: {} }),
};

/** One side of a layer, token by token, as its plan says: rows as they are read. */
class Rows {
  rows: Float32Array[] = [];
  coded = 0;
  readonly rt: Runtime;
  readonly of: 'keys' | 'values';
  readonly plan: SidePlan;

  constructor(rt: Runtime, of: 'keys' | 'values', plan: SidePlan) {
    [this.rt, this.of, this.plan] = [rt, of, plan];
  }

  get floats(): FloatSample {
    const data = new Float32Array(this.rows.length * row);
    for (const [t, each] of this.rows.entries()) data.set(each, t * row);
    return { shape: [1, this.rows.length, size.kvHeads, size.headDim], data };
  }

  /** Codes the rows before `end` that are none yet. */
  code(end: number): void {
    if (end <= this.coded) return;
    const { bits, axis, group, symmetric, outliers, codebook, scale, offset } = this.plan;
    this.rt.scope(() => {
      const tensor = (x: Float32Array, shape: number[]) => this.rt.tensor(x, shape);
      const x = this.floats.data.slice(this.coded * row, end * row);
      const format = { of: this.of, bits, axis, group };
      const given = { ...(codebook && { codebook: tensor(codebook, [2 ** bits]) }) };
      const made = quantizeKvSync(
        {
          x: tensor(x, [1, end - this.coded, size.kvHeads, size.headDim]),
          ...given,
          ...(scale && { scale: tensor(scale, [size.kvHeads, size.headDim]) }),
          ...(offset && { offset: tensor(offset, [size.kvHeads, size.headDim]) }),
        },
        { ...format, ...(symmetric && { symmetric }), ...(outliers && { outliers }) },
      );
      const back = dequantizeKvSync({ ...made, ...given }, { ...format, dim: size.headDim, tokens: end - this.coded });
      const data = back.o.dataSync() as Float32Array;
      for (let t = this.coded; t < end; t++)
        this.rows[t] = data.slice((t - this.coded) * row, (t - this.coded + 1) * row);
    });
    this.coded = end;
  }

  cut(length: number): void {
    this.rows.length = length;
    const { axis, group, scale } = this.plan;
    if (length < this.coded) this.coded = axis === 'channel' && !scale ? Math.floor(length / group) * group : length;
  }
}

/** A layer and what it should hold. */
class Twin {
  layer: LayerCache;
  readonly k: Rows;
  readonly v: Rows;
  readonly rt: Runtime;
  readonly plan: CodePlan;

  constructor(rt: Runtime, plan: CodePlan, layer = codeLayer(rt, size, plan)) {
    [this.rt, this.plan, this.layer] = [rt, plan, layer];
    this.k = new Rows(rt, 'keys', plan.keys);
    this.v = new Rows(rt, 'values', plan.values);
  }

  append(k: FloatSample, v: FloatSample): void {
    const count = k.shape[1]!;
    this.layer.reserve(count);
    this.rt.scope(() => {
      const tensors = { k: this.rt.tensor(k.data, k.shape), v: this.rt.tensor(v.data, v.shape) };
      runSync('append', tensors, (b) => this.layer.append(b, tensors.k, tensors.v)).commit();
    });
    for (let t = 0; t < count; t++) {
      this.k.rows.push(k.data.slice(t * row, (t + 1) * row));
      this.v.rows.push(v.data.slice(t * row, (t + 1) * row));
    }
    const { residual } = this.plan;
    const length = this.k.rows.length;
    this.k.code(residual ? Math.floor(length / residual) * residual : length);
    this.v.code(length - residual);
  }

  attend(q: FloatSample): NdArray {
    return this.rt.scope(() => {
      const tensors = { q: this.rt.tensor(q.data, q.shape) };
      const { o } = runSync('attend', tensors, (b) =>
        this.layer.attend(b, { q: tensors.q, scale: size.headDim ** -0.5, softcap: 0 }),
      );
      return { shape: o.shape, data: o.dataSync() };
    });
  }

  check(q: FloatSample, what: string): void {
    const { rope } = this.plan;
    const T = q.shape[1]!;
    const length = this.k.rows.length;
    const turn = (x: FloatSample, start: number): NdArray => (rope ? turned(x, start, rope.theta) : x);
    const inputs = { q: turn(q, length - T), k: turn(this.k.floats, 0), v: this.v.floats };
    const { want, limit } = expected((round) => reference(inputs, { causal: true }, round));
    assert.equal(this.layer.length, length, what);
    assertNear(this.attend(q), want.o, limit.o + 3e-3, what);
  }

  fork(): Twin {
    const twin = new Twin(this.rt, this.plan, this.layer.fork());
    for (const side of ['k', 'v'] as const) {
      twin[side].rows = [...this[side].rows];
      twin[side].coded = this[side].coded;
    }
    return twin;
  }

  truncate(length: number): void {
    this.layer.truncate(length);
    this.k.cut(length);
    this.v.cut(length);
  }
}

function turned({ shape, data }: FloatSample, start: number, theta: number): NdArray {
  const [, T, H, D] = shape as [number, number, number, number];
  const out = new Float64Array(data.length);
  for (let t = 0; t < T; t++)
    for (let h = 0; h < H; h++)
      for (let i = 0; i < D / 2; i++) {
        const at = (t * H + h) * D + i;
        const angle = (start + t) * theta ** ((-2 * i) / D);
        const [a, b] = [data[at]!, data[at + D / 2]!];
        out[at] = a * Math.cos(angle) - b * Math.sin(angle);
        out[at + D / 2] = b * Math.cos(angle) + a * Math.sin(angle);
      }
  return { shape, data: out };
}

test('appends, forks, truncations and saved bytes: a layer attends to what its plan keeps', () => {
  for (const rt of runtimes) {
    const before = rt.memory().blocks;
    for (const [name, plan] of Object.entries(plans)) {
      const random = randomFrom(name.length);
      const tokens = (count: number) => normal(random, [1, count, size.kvHeads, size.headDim]);
      const queries = (count: number) => normal(random, [1, count, 2 * size.kvHeads, size.headDim]);
      let twin = new Twin(rt, plan);
      let forks = 0;
      let cuts = 0;
      for (let step = 0; step < 40; step++) {
        const what = `${rt.variant}, ${name}, step ${step}`;
        const length = twin.layer.length;
        const choice = random();
        if (choice < 0.15 && length > 20) {
          twin.truncate(Math.floor(length * (0.4 + 0.6 * random())));
          cuts++;
        } else if (choice < 0.3 && length > 0) {
          const fork = twin.fork();
          const count = Math.min(5, size.capacity - length);
          fork.append(tokens(count), tokens(count));
          fork.check(queries(1), `${what}, fork`);
          // what the fork has written is not the other's
          twin.check(queries(1), `${what}, forked`);
          const [kept, gone] = random() < 0.5 ? [fork, twin] : [twin, fork];
          gone.layer.dispose();
          twin = kept;
          forks++;
        } else {
          const count = Math.min(random() < 0.6 ? 1 : 1 + Math.floor(random() * 90), size.capacity - length);
          if (count === 0) twin.truncate(100);
          else twin.append(tokens(count), tokens(count));
        }
        const held = twin.layer.length;
        if (held > 0 && step % 3 === 0) twin.check(queries(Math.min(held, random() < 0.5 ? 1 : 20)), what);
      }
      assert.ok(forks > 0 && cuts > 0, `${forks} forks, ${cuts} cuts`);
      const saved = twin.layer.save();
      const q = queries(1);
      const o = twin.attend(q);
      const restored = new Twin(rt, plan, restoreCodeLayer(rt, size, plan, saved));
      assertSameBits(restored.attend(q), o, `${rt.variant}, ${name}, restored`);
      assert.equal(restored.layer.bytes, twin.layer.bytes);
      assert.deepEqual(restored.layer.save(), saved);
      restored.layer.dispose();
      twin.layer.dispose();
    }
    assert.ok(rt.memory().blocks <= before + 1, 'memory of layers is given back');
  }
});

test('bytes are those of the tokens held', () => {
  const [rt] = runtimes as [WasmRuntime];
  const random = randomFrom(3);
  const tokens = (count: number) => normal(random, [1, count, size.kvHeads, size.headDim]);
  const int4 = new Twin(rt, int4Plan());
  assert.equal(int4.layer.bytes, 0);
  int4.append(tokens(32), tokens(32));
  // half a byte a number, and a scale for every 32 of them
  assert.equal(int4.layer.bytes, 2 * 32 * row * (0.5 + 4 / 32));
  assert.equal(int4.layer.bytes, 32 * codeBytesPerToken(size, int4Plan()));
  const kivi = new Twin(rt, kiviPlan({ bits: 2, group: 32, residual: 64 }));
  kivi.append(tokens(70), tokens(70));
  // 64 coded keys and 6 floats; 6 coded values, in a block of 32 tokens, and 64 floats
  const numbers = 2 * 4;
  assert.equal(kivi.layer.bytes, row * (64 / 4 + 2 * numbers + 6 * 4) + row * (32 / 4 + 32 * (numbers / 32) + 64 * 4));
  int4.layer.dispose();
  kivi.layer.dispose();
});

test('full caches, cut and changed bytes, plans that make no sense', () => {
  const [rt] = runtimes as [WasmRuntime];
  const random = randomFrom(4);
  const tokens = (count: number) => normal(random, [1, count, size.kvHeads, size.headDim]);
  for (const plan of Object.values(plans)) {
    const twin = new Twin(rt, plan);
    twin.append(tokens(299), tokens(299));
    assert.throws(() => twin.layer.reserve(2), CacheFullError);
    assert.throws(() => twin.layer.truncate(300), OptionError);
    twin.append(tokens(1), tokens(1));
    const saved = twin.layer.save();
    const blocks = rt.memory().blocks;
    for (const length of [0, 10, saved.length - 1])
      assert.throws(() => restoreCodeLayer(rt, size, plan, saved.subarray(0, length)), CacheDataError);
    for (const at of [0, 5, 17, 60, saved.length - 2]) {
      const changed = saved.slice();
      changed[at]! ^= 0x10;
      assert.throws(() => restoreCodeLayer(rt, size, plan, changed), CacheDataError);
    }
    assert.throws(() => restoreCodeLayer(rt, { ...size, capacity: 200 }, plan, saved), CacheDataError);
    assert.equal(rt.memory().blocks, blocks);
    twin.layer.dispose();
  }
  assert.throws(
    () => codeLayer(rt, size, kiviPlan({ group: 32, residual: 40 })),
    /residual is 40, expected a multiple/,
  );
  assert.throws(() => codeLayer(rt, size, int4Plan({ group: 20 })), /groups of 20, expected a multiple of 16/);
});

test('codebooks are where the numbers are, and calibrated scales leave outliers outside', () => {
  const random = randomFrom(5);
  const clusters = [-3, -0.5, 0.1, 4];
  const samples = Array.from({ length: 4000 }, (_, i) => clusters[i % 4]! + 0.01 * (random() - 0.5));
  for (const [i, level] of fitCodebook(samples, 2).entries())
    assert.ok(Math.abs(level - clusters[i]!) < 0.01, `${level}`);
  const keys = normal(random, [1000, 1, 4]);
  for (let n = 0; n < keys.data.length; n += 500) keys.data[n] = 50;
  const { scale, codebook } = calibrateKeys(keys.data, [1000, 1, 4], { bits: 4, outliers: 0.02 });
  for (const each of scale) assert.ok(each > 1.5 && each < 4, `${each}`);
  assert.ok(codebook[0]! > -1 && codebook[15]! < 1 && codebook.every((x, i) => i === 0 || x >= codebook[i - 1]!));
  assert.throws(() => fitCodebook([], 4), OptionError);
  assert.throws(() => calibrateKeys([1, 2], [1, 1, 4]), OptionError);
});
