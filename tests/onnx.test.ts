import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { replay } from '../src/cli/replay.ts';
import { DTypeError, OptionError, type Runtime, ShapeError, type Tensor } from '../src/index.ts';
import {
  Attention,
  type AttentionAttributes,
  AttentionSync,
  CausalConvWithState,
  CausalConvWithStateSync,
  LinearAttention,
  LinearAttentionSync,
  ONNX_OPS,
  RMSNormalization,
  RMSNormalizationSync,
  RotaryEmbedding,
  RotaryEmbeddingSync,
  TensorScatter,
  TensorScatterSync,
} from '../src/onnx/index.ts';
import { readSafetensors } from '../src/safetensors.ts';
import { assertNear, assertSameBits } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { at, type NdArray, offset, type Result, zeros } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { bits, floats, ints, mapped, normal, randomFrom, roundToHalf, type Sample } from './samples.ts';

const runtimes = await variants();
const [rt = assert.fail('no runtime')] = runtimes;
after(() => {
  for (const each of runtimes) each.dispose();
});

// ONNX's own node tests, dumped as golden cases; they are not part of the repository.
const folder = process.env.WATTN_ONNX ?? fileURLToPath(new URL('../../shared/onnx/', import.meta.url));

for (const { name } of ONNX_OPS) {
  test(`ONNX's own cases of ${name}`, async (t) => {
    if (!existsSync(folder)) {
      t.skip(`no ONNX cases were run: ${folder} does not exist. Set WATTN_ONNX to the folder that holds them.`);
      return;
    }
    const cases = readdirSync(folder)
      .filter((file) => file.endsWith('.safetensors'))
      .map((file) => ({ file, bytes: readFileSync(`${folder}/${file}`) }))
      .filter(({ bytes }) => readSafetensors(bytes).metadata.get('op') === name);
    assert.ok(cases.length > 0, `${folder} holds no case of ${name}`);
    for (const each of runtimes) {
      for (const { file, bytes } of cases) {
        const { passed, reason } = await replay(each, bytes, ONNX_OPS);
        assert.ok(passed, `${each.variant} ${file}: ${reason}`);
      }
    }
    t.diagnostic(`${cases.length} cases on ${runtimes.map((each) => each.variant).join(' and ')}`);
  });
}

interface AttentionOperands {
  Q: NdArray;
  K: NdArray;
  V: NdArray;
  attn_mask?: Sample | undefined;
  past_key?: NdArray | undefined;
  past_value?: NdArray | undefined;
  nonpad_kv_seqlen?: NdArray | undefined;
}

/** [B, T, H * D] as [B, H, T, D]. */
function withHeads({ shape, data }: NdArray, heads: number | undefined): NdArray {
  if (shape.length === 4) return { shape, data };
  const [B, T, width] = shape as [number, number, number];
  const D = width / heads!;
  const out = zeros([B, heads!, T, D]);
  for (let n = 0; n < out.data.length; n++) {
    const [d, i, h, b] = [
      n % D,
      Math.floor(n / D) % T,
      Math.floor(n / (D * T)) % heads!,
      Math.floor(n / (D * T * heads!)),
    ];
    out.data[n] = data[(b * T + i) * width + h * D + d]!;
  }
  return out;
}

/** past and next [B, H, T, D], one after the other along T. */
function concatenated(past: NdArray | undefined, next: NdArray): NdArray {
  if (!past) return next;
  const [B, H, T, D] = next.shape as [number, number, number, number];
  const P = past.shape[2]!;
  const out = zeros([B, H, P + T, D]);
  for (let bh = 0; bh < B * H; bh++) {
    for (let n = 0; n < (P + T) * D; n++) {
      out.data[bh * (P + T) * D + n] = n < P * D ? past.data[bh * P * D + n]! : next.data[bh * T * D + n - P * D]!;
    }
  }
  return out;
}

/** The element of a mask that belongs to a score, by NumPy's rules; undefined past the end of its last axis. */
function maskAt({ shape, data }: NdArray, ...index: number[]): number | undefined {
  const own = index.slice(4 - shape.length);
  if (own.at(-1)! >= shape.at(-1)!) return undefined;
  return data[offset(shape, ...own.map((i, axis) => (shape[axis] === 1 ? 0 : i)))];
}

/** ONNX Attention by its definition, in float64. */
function attentionReference(inputs: AttentionOperands, attributes: AttentionAttributes): Record<string, NdArray> {
  const { attn_mask, past_key, past_value, nonpad_kv_seqlen } = inputs;
  const { is_causal = 0, softcap = 0, qk_matmul_output_mode } = attributes;
  const q = withHeads(inputs.Q, attributes.q_num_heads);
  const k = concatenated(past_key, withHeads(inputs.K, attributes.kv_num_heads));
  const v = concatenated(past_value, withHeads(inputs.V, attributes.kv_num_heads));
  const [B, Hq, Tq, D] = q.shape as [number, number, number, number];
  const [, Hkv, total] = k.shape as [number, number, number];
  const Dv = v.shape[3]!;
  const scale = attributes.scale ?? D ** -0.5;
  const y = zeros([B, Hq, Tq, Dv]);
  const qk = zeros([B, Hq, Tq, total]);
  for (let b = 0; b < B; b++) {
    const length = nonpad_kv_seqlen?.data[b] ?? total;
    const first = nonpad_kv_seqlen ? length - Tq : (past_key?.shape[2] ?? 0);
    for (let h = 0; h < Hq; h++) {
      const g = Math.floor(h / (Hq / Hkv));
      for (let i = 0; i < Tq; i++) {
        const stages = Array.from({ length: total }, (_, j) => {
          let dot = 0;
          for (let d = 0; d < D; d++) dot += at(q, b, h, i, d) * at(k, b, g, j, d);
          const raw = dot * scale;
          const capped = softcap > 0 ? softcap * Math.tanh(raw / softcap) : raw;
          const mask = attn_mask ? maskAt(attn_mask, b, h, i, j) : 0;
          const bias = attn_mask?.data instanceof Uint8Array ? (mask === 1 ? 0 : -Infinity) : (mask ?? -Infinity);
          const hidden = j >= length || (is_causal && j > i + first);
          return [raw, capped, hidden ? -Infinity : capped + bias] as const;
        });
        const most = Math.max(...stages.map(([, , masked]) => masked));
        const exps = stages.map(([, , masked]) => (most === -Infinity ? 0 : Math.exp(masked - most)));
        const sum = exps.reduce((all, x) => all + x, 0);
        for (const [j, stage] of stages.entries()) {
          const weight = sum === 0 ? 0 : exps[j]! / sum;
          qk.data[offset(qk.shape, b, h, i, j)] = [...stage, weight][qk_matmul_output_mode ?? 0]!;
          // a weight of 0 hides whatever the cache holds
          for (let d = 0; weight > 0 && d < Dv; d++) {
            y.data[offset(y.shape, b, h, i, d)]! += weight * at(v, b, g, j, d);
          }
        }
      }
    }
  }
  return {
    Y: inputs.Q.shape.length === 4 ? y : withoutHeads(y),
    ...(past_key && { present_key: k, present_value: v }),
    ...(qk_matmul_output_mode !== undefined && { qk_matmul_output: qk }),
  };
}

/** [B, H, T, D] as [B, T, H * D]. */
function withoutHeads(array: NdArray): NdArray {
  const [B, H, T, D] = array.shape as [number, number, number, number];
  const out = zeros([B, T, H * D]);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let i = 0; i < T; i++) {
        for (let d = 0; d < D; d++) out.data[(b * T + i) * H * D + h * D + d] = at(array, b, h, i, d);
      }
    }
  }
  return out;
}

function assertOutputs(got: Record<string, NdArray>, want: Record<string, NdArray>, what: string, limit = 1e-5): void {
  assert.deepEqual(Object.keys(got).sort(), Object.keys(want).sort(), what);
  for (const [name, array] of Object.entries(want)) assertNear(got[name]!, array, limit, `${what}: ${name}`);
}

/** Runs Attention on every runtime, in both forms, and compares every output with the definition. */
async function checkAttention(inputs: AttentionOperands, attributes: AttentionAttributes, what: string): Promise<void> {
  const want = attentionReference(inputs, attributes);
  for (const each of runtimes) {
    const got = await call(each, Attention, inputs as never, attributes);
    assertOutputs(got as Record<string, NdArray>, want, `${each.variant}, ${what}`);
    const sync = await call(
      each,
      async (a: never, b?: AttentionAttributes) => AttentionSync(a, b),
      inputs as never,
      attributes,
    );
    for (const [name, array] of Object.entries(got)) {
      assertSameBits((sync as Record<string, NdArray>)[name]!, array as NdArray, `${name} of AttentionSync`);
    }
  }
}

const modes = [undefined, 0, 1, 2, 3];

test('attention over random shapes, masks, caches and modes', () =>
  property(
    fc.record({
      seed: fc.nat(),
      B: fc.integer({ min: 1, max: 3 }),
      Tq: fc.constantFrom(1, 3, 17, 40),
      Tk: fc.constantFrom(0, 1, 6, 65, 130),
      Hkv: fc.integer({ min: 1, max: 2 }),
      group: fc.integer({ min: 1, max: 3 }),
      D: fc.constantFrom(1, 8, 18),
      Dv: fc.constantFrom(4, 7, 16),
      flat: fc.boolean(),
      cache: fc.constantFrom('none', 'none', 'past', 'nonpad'),
      past: fc.constantFrom(0, 1, 9, 64),
      mask: fc.constantFrom(undefined, 'bool', 'float'),
      rank: fc.constantFrom(2, 3, 4),
      broadcast: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      shorter: sometimes(fc.nat({ max: 70 })),
      is_causal: fc.constantFrom(0, 1),
      scale: sometimes(fc.double({ min: 0.05, max: 1, noNaN: true })),
      softcap: sometimes(fc.double({ min: 0.5, max: 5, noNaN: true })),
      mode: fc.constantFrom(...modes),
    }),
    120,
    async ({
      seed,
      B,
      Tq,
      Tk,
      Hkv,
      group,
      D,
      Dv,
      flat,
      cache,
      past,
      mask,
      rank,
      broadcast,
      shorter,
      mode,
      ...rest
    }) => {
      const random = randomFrom(seed);
      const Hq = Hkv * group;
      const tensor = (H: number, T: number, d: number) => normal(random, flat ? [B, T, H * d] : [B, H, T, d]);
      const total = Tk + (cache === 'past' ? past : 0);
      const shape = [B, Hq, Tq].map((n, axis) => (broadcast[axis] ? 1 : n)).slice(4 - rank);
      shape.push(Math.max(0, total - (shorter ?? 0)));
      await checkAttention(
        {
          Q: tensor(Hq, Tq, D),
          K: tensor(Hkv, Tk, D),
          V: tensor(Hkv, Tk, Dv),
          attn_mask:
            mask === 'bool'
              ? bits(random, shape, 0.6)
              : mask && floats(shape, () => (random() < 0.2 ? -Infinity : 4 * random() - 2)),
          past_key: cache === 'past' ? normal(random, [B, Hkv, past, D]) : undefined,
          past_value: cache === 'past' ? normal(random, [B, Hkv, past, Dv]) : undefined,
          nonpad_kv_seqlen:
            cache === 'nonpad' ? ints(Array.from({ length: B }, () => Math.floor(random() * (Tk + 1)))) : undefined,
        },
        {
          ...rest,
          ...(flat && { q_num_heads: Hq, kv_num_heads: Hkv }),
          ...(mode !== undefined && { qk_matmul_output_mode: mode }),
        },
        'random case',
      );
    },
  ));

test('past and present: one row at a time gives what one call gives', async () => {
  const random = randomFrom(1);
  const [B, H, T, D] = [2, 2, 7, 8] as const;
  const [Q, K, V] = [0, 1, 2].map(() => normal(random, [B, H, T, D])) as [Sample, Sample, Sample];
  for (const each of runtimes) {
    const want = await call(each, Attention, { Q, K, V }, { is_causal: 1 });
    await each.scope(async () => {
      const [q, k, v] = [Q, K, V].map(({ data, shape }) => each.tensor(data, shape)) as [Tensor, Tensor, Tensor];
      let past_key = each.empty([B, H, 0, D]);
      let past_value = each.empty([B, H, 0, D]);
      for (let t = 0; t < T; t++) {
        const row = (x: Tensor) => x.slice(2, t, t + 1);
        const step = await Attention({ Q: row(q), K: row(k), V: row(v), past_key, past_value }, { is_causal: 1 });
        past_key = step.present_key!;
        past_value = step.present_value!;
        const got = { shape: [B, H, 1, D], data: step.Y.dataSync() };
        const rows = {
          shape: [B, H, 1, D],
          data: each
            .tensor(want.Y.data as number[], [B, H, T, D])
            .slice(2, t, t + 1)
            .dataSync(),
        };
        assertNear(got, rows, 1e-6, `row ${t}`);
      }
      assertSameBits({ shape: K.shape, data: past_key.dataSync() }, K, 'present_key');
      assertSameBits({ shape: V.shape, data: past_value.dataSync() }, V, 'present_value');
    });
  }
});

test('every form of mask with grouped heads', async () => {
  const random = randomFrom(2);
  const [B, Hq, Hkv, Tq, Tk, D] = [2, 6, 2, 5, 11, 8] as const;
  const shapes = [
    [Tq, Tk],
    [1, Tk],
    [Hq, Tq, Tk],
    [1, Tq, Tk],
    [B, Hq, Tq, Tk],
    [B, 1, Tq, Tk],
    [1, Hq, 1, Tk],
    [Tq, Tk - 3],
    [B, 1, 1, Tk - 3],
    [Tq, 0],
  ];
  const QKV = {
    Q: normal(random, [B, Hq, Tq, D]),
    K: normal(random, [B, Hkv, Tk, D]),
    V: normal(random, [B, Hkv, Tk, D]),
  };
  for (const shape of shapes) {
    for (const qk_matmul_output_mode of [0, 1, 2, 3]) {
      const attributes = { qk_matmul_output_mode, softcap: 2 };
      await checkAttention({ ...QKV, attn_mask: bits(random, shape, 0.5) }, attributes, `bool mask [${shape}]`);
      await checkAttention({ ...QKV, attn_mask: normal(random, shape) }, attributes, `float mask [${shape}]`);
    }
  }
});

test('a mask that hides a whole row, by zeros or by -Infinity, gives a row of zeros', async () => {
  const random = randomFrom(3);
  const QKV = { Q: normal(random, [1, 2, 3, 8]), K: normal(random, [1, 2, 9, 8]), V: normal(random, [1, 2, 9, 8]) };
  const hidden = floats([3, 9], (n) => (n < 9 ? -Infinity : 0));
  const mask = { shape: hidden.shape, data: Uint8Array.from(hidden.data, (x) => (x === 0 ? 1 : 0)) };
  for (const attn_mask of [hidden, mask]) {
    for (const each of runtimes) {
      const got = await call(each, Attention, { ...QKV, attn_mask }, { qk_matmul_output_mode: 3 });
      for (const { data, shape } of [got.Y, got.qk_matmul_output!]) {
        assert.ok(
          Array.from(data)
            .slice(0, shape[3])
            .every((x) => x === 0),
        );
        assert.ok(Array.from(data).every(Number.isFinite));
      }
    }
    await checkAttention({ ...QKV, attn_mask }, { is_causal: 1, qk_matmul_output_mode: 3 }, 'a hidden row');
  }
});

test('what lies behind nonpad_kv_seqlen does not reach a result', async () => {
  const random = randomFrom(4);
  const lengths = [3, 7];
  const unwritten = (shape: readonly number[]) =>
    floats(shape, (n) => (Math.floor(n / 8) % 9 < lengths[Math.floor(n / (2 * 9 * 8))]! ? random() - 0.5 : Number.NaN));
  const inputs = {
    Q: normal(random, [2, 4, 3, 8]),
    K: unwritten([2, 2, 9, 8]),
    V: unwritten([2, 2, 9, 8]),
    nonpad_kv_seqlen: ints(lengths),
  };
  for (const mode of [undefined, 2, 3]) {
    const attributes = { is_causal: 1, ...(mode && { qk_matmul_output_mode: mode }) };
    await checkAttention(inputs, attributes, `mode ${mode}`);
  }
  for (const each of runtimes) {
    const { Y, qk_matmul_output } = await call(each, Attention, inputs, { qk_matmul_output_mode: 0 });
    assertNear(Y, attentionReference(inputs, {}).Y!, 1e-5, 'Y beside scores of unwritten keys');
    assert.ok(Array.from(qk_matmul_output!.data).some(Number.isNaN), 'mode 0 shows the keys as they are');
  }
});

/** Reads a tensor back and checks its element type. */
function read(tensor: Tensor, dtype: string): NdArray {
  assert.equal(tensor.dtype, dtype);
  return { shape: tensor.shape, data: tensor.dataSync() };
}

/** Each element within half a unit of half precision, and `slack`. */
function assertRounded(got: NdArray, want: NdArray, slack: number, what: string): void {
  assert.deepEqual([...got.shape], [...want.shape], what);
  for (let n = 0; n < want.data.length; n++) {
    const [x, y] = [got.data[n]!, want.data[n]!];
    if (x === y) continue;
    assert.ok(Math.abs(x - y) <= Math.abs(y) * 2 ** -11 + slack, `${what}: element ${n} is ${x}, not ${y}`);
  }
}

test('half precision in, half precision out', async () => {
  const random = randomFrom(5);
  const half = (shape: readonly number[]) => mapped(normal(random, shape), roundToHalf);
  const inputs = {
    Q: half([2, 4, 3, 8]),
    K: half([2, 2, 5, 8]),
    V: half([2, 2, 5, 6]),
    attn_mask: mapped(
      floats([1, 3, 9], () => (random() < 0.3 ? -Infinity : random())),
      roundToHalf,
    ),
    past_key: half([2, 2, 4, 8]),
    past_value: half([2, 2, 4, 6]),
  };
  for (const each of runtimes) {
    for (const qk_matmul_output_mode of [0, 1, 2, 3]) {
      await each.scope(async () => {
        const tensors = Object.fromEntries(
          Object.entries(inputs).map(([name, { data, shape }]) => [name, each.tensor(data, shape, 'f16')]),
        ) as unknown as Parameters<typeof Attention>[0];
        each.poison();
        const got = await Attention(tensors, { qk_matmul_output_mode, is_causal: 1 });
        const want = attentionReference(inputs, { qk_matmul_output_mode, is_causal: 1 });
        for (const [name, array] of Object.entries(want)) {
          const tensor = (got as unknown as Record<string, Tensor>)[name]!;
          assertRounded(read(tensor, 'f16'), array, name.startsWith('present') ? 0 : 2e-6, name);
        }
      });
    }
    await each.scope(async () => {
      const X = half([3, 2, 10]);
      const scale = half([10]);
      const x = each.tensor(X.data, X.shape, 'f16');
      const want = rmsReference(X, scale, 2, 1e-5);
      const { Y } = await RMSNormalization({ X: x, scale: each.tensor(scale.data, scale.shape, 'f16') });
      assertRounded(read(Y, 'f16'), want, 1e-6, 'RMSNormalization');
      const { Y: wide } = await RMSNormalization({ X: x, scale: each.tensor(scale.data, scale.shape) });
      assertNear(read(wide, 'f32'), want, 1e-5, 'RMSNormalization with a float32 scale');
      const angles = half([1, 3, 4]);
      const input = half([2, 2, 3, 8]);
      const { output } = await RotaryEmbedding({
        input: each.tensor(input.data, input.shape, 'f16'),
        cos_cache: each.tensor(angles.data, angles.shape, 'f16'),
        sin_cache: each.tensor(angles.data, angles.shape, 'f16'),
      });
      const rotated = rotaryReference(input, (_, t, i) => [at(angles, 0, t, i), at(angles, 0, t, i)], 8, false);
      assertRounded(read(output, 'f16'), rotated, 1e-6, 'RotaryEmbedding');
      const bf = await AttentionSync({
        Q: each.tensor(inputs.Q.data, inputs.Q.shape, 'bf16'),
        K: each.tensor(inputs.K.data, inputs.K.shape, 'bf16'),
        V: each.tensor(inputs.V.data, inputs.V.shape, 'bf16'),
      });
      assertNear(
        read(bf.Y, 'bf16'),
        attentionReference({ Q: inputs.Q, K: inputs.K, V: inputs.V }, {}).Y!,
        3e-2,
        'bf16',
      );
    });
  }
});

test('slices of one projection and transposed caches are read in place', async () => {
  const random = randomFrom(6);
  const [B, T, H, D] = [2, 6, 3, 8] as const;
  const fused = normal(random, [B, T, 3 * H * D]);
  for (const each of runtimes) {
    await each.scope(async () => {
      const qkv = each.tensor(fused.data, fused.shape);
      const [Q, K, V] = [0, 1, 2].map((n) => qkv.slice(2, n * H * D, (n + 1) * H * D)) as [Tensor, Tensor, Tensor];
      const heads = { q_num_heads: H, kv_num_heads: H };
      const { Y } = await Attention({ Q, K, V }, heads);
      const copies = [Q, K, V].map((x) => ({ shape: x.shape, data: x.dataSync() })) as NdArray[] as [
        NdArray,
        NdArray,
        NdArray,
      ];
      const want = attentionReference({ Q: copies[0], K: copies[1], V: copies[2] }, heads);
      assertNear(read(Y, 'f32'), want.Y!, 1e-5, 'fused projection');
      const turned = K.restride([B, T, H, D], [T * 3 * H * D, 3 * H * D, D, 1]).permute([0, 2, 1, 3]);
      const { present_cache } = await TensorScatter({ past_cache: turned, update: turned.slice(2, 0, 2) });
      assertSameBits(read(present_cache, 'f32'), { shape: turned.shape, data: turned.dataSync() }, 'permuted cache');
    });
  }
});

test('a result outlives its scope, and temporaries do not', async () => {
  const random = randomFrom(7);
  const before = rt.memory().blocks;
  const data = normal(random, [1, 4, 16]);
  const { Y } = await rt.scope(async () => {
    const x = rt.tensor(data.data, data.shape, 'f16');
    return Attention({ Q: x, K: x, V: x }, { q_num_heads: 2, kv_num_heads: 2 });
  });
  assert.equal(Y.disposed, false);
  Y.dispose();
  assert.equal(rt.memory().blocks, before);
});

/** cos and sin of a token's pair. */
type Angle = (b: number, t: number, pair: number) => readonly [cos: number, sin: number];

function rotaryReference(input: NdArray, angle: Angle, rotated: number, interleaved: boolean): Result {
  const [B, H, T, D] = input.shape as [number, number, number, number];
  const out = zeros(input.shape);
  for (let n = 0; n < out.data.length; n++) out.data[n] = input.data[n]!;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let t = 0; t < T; t++) {
        for (let i = 0; i < rotated / 2; i++) {
          const [c, s] = angle(b, t, i);
          const [first, second] = interleaved ? [2 * i, 2 * i + 1] : [i, i + rotated / 2];
          const row = ((b * H + h) * T + t) * D;
          const [x, y] = [input.data[row + first]!, input.data[row + second]!];
          out.data[row + first] = c * x - s * y;
          out.data[row + second] = s * x + c * y;
        }
      }
    }
  }
  return out;
}

test('rotary embedding in both layouts, with and without positions', async () => {
  const random = randomFrom(8);
  for (const interleaved of [0, 1]) {
    for (const rotary_embedding_dim of [0, 6]) {
      const [B, H, T, D] = [2, 3, 5, 10] as const;
      const rotated = rotary_embedding_dim || D;
      const input = normal(random, [B, H, T, D]);
      const position_ids = ints(
        Array.from({ length: B * T }, () => Math.floor(20 * random())),
        [B, T],
      );
      const [cos_cache, sin_cache] = [0, 1].map(() => normal(random, [20, rotated / 2])) as [Sample, Sample];
      const [cosRows, sinRows] = [0, 1].map(() => normal(random, [B, T, rotated / 2])) as [Sample, Sample];
      const byPosition = rotaryReference(
        input,
        (b, t, i) => [cos_cache, sin_cache].map((x) => at(x, at(position_ids, b, t), i)) as [number, number],
        rotated,
        interleaved === 1,
      );
      const byRow = rotaryReference(
        input,
        (b, t, i) => [at(cosRows, b, t, i), at(sinRows, b, t, i)],
        rotated,
        interleaved === 1,
      );
      const flat = { shape: [B, T, H * D], data: Float32Array.from(withoutHeads(input).data) };
      const attributes = { interleaved, rotary_embedding_dim };
      for (const each of runtimes) {
        const first = await call(each, RotaryEmbedding, { input, cos_cache, sin_cache, position_ids }, attributes);
        assertNear(first.output, byPosition, 2e-6, 'with positions');
        const second = await call(each, RotaryEmbedding, { input, cos_cache: cosRows, sin_cache: sinRows }, attributes);
        assertNear(second.output, byRow, 2e-6, 'without positions');
        const third = await call(
          each,
          RotaryEmbedding,
          { input: flat, cos_cache, sin_cache, position_ids },
          { ...attributes, num_heads: H },
        );
        assertNear(third.output, withoutHeads(byPosition), 2e-6, 'with three axes');
      }
    }
  }
});

function rmsReference(X: NdArray, scale: NdArray, axis: number, epsilon: number): Result {
  const out = zeros(X.shape);
  const tail = X.shape.slice(axis);
  const n = tail.reduce((product, m) => product * m, 1);
  const lead = tail.length - scale.shape.length;
  for (let row = 0; row < out.data.length / n; row++) {
    let squares = 0;
    for (let i = 0; i < n; i++) squares += X.data[row * n + i]! ** 2;
    for (let i = 0; i < n; i++) {
      const index = tail.map((m, d) => Math.floor(i / tail.slice(d + 1).reduce((a, b) => a * b, 1)) % m).slice(lead);
      const weight = at(scale, ...index.map((at, d) => (scale.shape[d] === 1 ? 0 : at)));
      out.data[row * n + i] = (X.data[row * n + i]! / Math.sqrt(squares / n + epsilon)) * weight;
    }
  }
  return out;
}

test('RMS normalisation over one or more axes, with scales that broadcast', async () => {
  const random = randomFrom(9);
  const shape = [2, 3, 4, 5];
  const cases: [axis: number, scale: number[]][] = [
    [-1, [5]],
    [3, [1]],
    [2, [4, 5]],
    [2, [5]],
    [2, [4, 1]],
    [-3, [3, 4, 5]],
    [1, [3, 1, 5]],
    [0, [2, 3, 4, 5]],
  ];
  for (const [axis, scaleShape] of cases) {
    const X = normal(random, shape);
    const scale = normal(random, scaleShape);
    const want = rmsReference(X, scale, (axis + 4) % 4, 1e-3);
    for (const each of runtimes) {
      const { Y } = await call(each, RMSNormalization, { X, scale }, { axis, epsilon: 1e-3 });
      assertNear(Y, want, 2e-6, `axis ${axis}, scale [${scaleShape}]`);
    }
  }
});

test('tensor scatter along any axis, circular and linear, of any element type', async () => {
  const random = randomFrom(10);
  const cases = [
    { shape: [3, 2, 7, 5], axis: -2, rows: 4 },
    { shape: [3, 7, 5], axis: -2, rows: 7 },
    { shape: [3, 7, 2, 5], axis: 1, rows: 3 },
    { shape: [3, 2, 5, 7], axis: -1, rows: 2 },
    { shape: [3, 7], axis: 1, rows: 0 },
  ];
  for (const { shape, axis, rows } of cases) {
    for (const mode of ['linear', 'circular'] as const) {
      for (const starts of [undefined, [0, 2, 5], [3, 3, 3], [9, 0, 15]]) {
        if (mode === 'linear' && starts?.some((start) => start + rows > 7)) continue;
        for (const dtype of ['f32', 'f16', 'bf16', 'i32', 'i8', 'u8'] as const) {
          const along = (axis + shape.length) % shape.length;
          const updateShape = shape.map((n, i) => (i === along ? rows : n));
          const whole = () => Math.floor(100 * random());
          const [past, update] = [floats(shape, whole), floats(updateShape, whole)];
          const want = Float64Array.from(past.data);
          const inner = shape.slice(along + 1).reduce((a, b) => a * b, 1);
          for (let n = 0; n < update.data.length; n++) {
            const outer = Math.floor(n / (inner * rows));
            const batch = Math.floor((n * shape[0]!) / update.data.length);
            const row = ((starts?.[batch] ?? 0) + (Math.floor(n / inner) % rows)) % 7;
            want[(outer * 7 + row) * inner + (n % inner)] = update.data[n]!;
          }
          for (const each of runtimes) {
            await each.scope(async () => {
              const inputs = {
                past_cache: each.tensor([...past.data], shape, dtype),
                update: each.tensor([...update.data], updateShape, dtype),
                ...(starts && { write_indices: each.tensor(Int32Array.from(starts), [3]) }),
              };
              each.poison();
              const { present_cache } = await TensorScatter(inputs, { axis, mode });
              assertSameBits(
                read(present_cache, dtype),
                { shape, data: want },
                `${dtype} [${shape}] ${mode} ${starts}`,
              );
            });
          }
        }
      }
    }
  }
});

const f32 = (...shape: number[]) => rt.tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const i32 = (...values: number[]) => rt.tensor(Int32Array.from(values), [values.length]);
const qkv = () => ({ Q: f32(2, 4, 5, 8), K: f32(2, 2, 7, 8), V: f32(2, 2, 7, 6) });
const flat = () => ({ Q: f32(2, 5, 32), K: f32(2, 7, 16), V: f32(2, 7, 12) });
const heads = { q_num_heads: 4, kv_num_heads: 2 };
const rotary = () => ({ input: f32(2, 4, 3, 8), cos_cache: f32(9, 4), sin_cache: f32(9, 4) });
const positions = (at: number) => rt.tensor(new Int32Array(6).fill(at), [2, 3]);
const streamed = () => ({ input: f32(2, 4, 8), weight: f32(4, 1, 3) });
const linear = () => ({ query: f32(2, 3, 32), key: f32(2, 3, 16), value: f32(2, 3, 12) });
const linearly = { ...heads, update_rule: 'linear' };
const gated = { ...heads, update_rule: 'gated' };
const cache = () => ({ past_cache: f32(2, 7, 5), update: f32(2, 3, 5) });

// biome-ignore lint/suspicious/noExplicitAny: the inputs are wrong on purpose
type AnyOp = (inputs: any, attributes?: any) => unknown;
type Wrong = [
  what: string,
  inputs: () => Record<string, unknown>,
  attributes: object,
  error: typeof ShapeError,
  says: RegExp[],
];

const wrong: [op: AnyOp, sync: AnyOp, calls: Wrong[]][] = [
  [
    Attention,
    AttentionSync,
    [
      ['no V', () => ({ ...qkv(), V: undefined }), {}, ShapeError, [/V/, /tensor/]],
      [
        'a mask that is no tensor',
        () => ({ ...qkv(), attn_mask: new Uint8Array(35) }),
        {},
        ShapeError,
        [/attn_mask/, /Uint8Array/],
      ],
      ['Q of another rank', () => ({ ...qkv(), Q: f32(2, 5, 32) }), heads, ShapeError, [/2,5,32/]],
      ['two axes', () => ({ Q: f32(5, 8), K: f32(5, 8), V: f32(5, 8) }), {}, ShapeError, [/Q/, /5,8/]],
      ['no heads', flat, { kv_num_heads: 2 }, OptionError, [/q_num_heads/]],
      ['heads that do not divide', flat, { ...heads, q_num_heads: 5 }, ShapeError, [/5/, /32/]],
      ['heads that contradict', qkv, { q_num_heads: 3 }, OptionError, [/q_num_heads/, /3/, /4/]],
      ['no whole heads', flat, { ...heads, q_num_heads: 1.5 }, OptionError, [/q_num_heads/, /1\.5/]],
      ['heads that do not group', () => ({ ...qkv(), Q: f32(2, 3, 5, 8) }), {}, ShapeError, [/3/, /2/]],
      ['K of another width', () => ({ ...flat(), K: f32(2, 7, 18) }), heads, ShapeError, [/K as/, /2, 2, 7, 9/]],
      [
        'K of another head dimension',
        () => ({ ...qkv(), K: f32(2, 2, 7, 9) }),
        {},
        ShapeError,
        [/K/, /2, 2, 7, 9/, /8/],
      ],
      ['V of another length', () => ({ ...qkv(), V: f32(2, 2, 6, 6) }), {}, ShapeError, [/6/, /7/]],
      ['integers', () => ({ ...qkv(), Q: rt.empty([2, 4, 5, 8], 'i32') }), {}, DTypeError, [/Q/, /i32/]],
      ['a long mask', () => ({ ...qkv(), attn_mask: f32(5, 8) }), {}, ShapeError, [/attn_mask/, /5,8/, /7/]],
      ['a mask of other rows', () => ({ ...qkv(), attn_mask: f32(4, 7) }), {}, ShapeError, [/attn_mask/, /4,7/]],
      ['a mask of key heads', () => ({ ...qkv(), attn_mask: f32(2, 5, 7) }), {}, ShapeError, [/attn_mask/, /2,5,7/]],
      ['a mask of one axis', () => ({ ...qkv(), attn_mask: f32(7) }), {}, ShapeError, [/attn_mask/, /7/]],
      ['a mask of integers', () => ({ ...qkv(), attn_mask: rt.empty([5, 7], 'i32') }), {}, DTypeError, [/attn_mask/]],
      ['past_key alone', () => ({ ...qkv(), past_key: f32(2, 2, 3, 8) }), {}, OptionError, [/past_value/]],
      [
        'a past of other heads',
        () => ({ ...qkv(), past_key: f32(2, 4, 3, 8), past_value: f32(2, 2, 3, 6) }),
        {},
        ShapeError,
        [/past_key/, /4/],
      ],
      [
        'pasts of two lengths',
        () => ({ ...qkv(), past_key: f32(2, 2, 3, 8), past_value: f32(2, 2, 4, 6) }),
        {},
        ShapeError,
        [/past_key/, /past_value/],
      ],
      [
        'a past of another type',
        () => ({ ...qkv(), past_key: rt.empty([2, 2, 3, 8], 'f16'), past_value: f32(2, 2, 3, 6) }),
        {},
        DTypeError,
        [/past_key/, /f16/, /f32/],
      ],
      [
        'two kinds of cache',
        () => ({ ...qkv(), past_key: f32(2, 2, 3, 8), past_value: f32(2, 2, 3, 6), nonpad_kv_seqlen: i32(1, 2) }),
        {},
        OptionError,
        [/nonpad_kv_seqlen/],
      ],
      ['too few lengths', () => ({ ...qkv(), nonpad_kv_seqlen: i32(1) }), {}, ShapeError, [/nonpad_kv_seqlen/]],
      ['a length too long', () => ({ ...qkv(), nonpad_kv_seqlen: i32(1, 8) }), {}, ShapeError, [/8/, /7/]],
      ['lengths of floats', () => ({ ...qkv(), nonpad_kv_seqlen: f32(2) }), {}, DTypeError, [/nonpad_kv_seqlen/]],
      ['a misspelt input', () => ({ ...qkv(), mask: f32(5, 7) }), {}, OptionError, [/mask/, /attn_mask/]],
      ['a misspelt attribute', qkv, { causal: 1 }, OptionError, [/causal/, /is_causal/]],
      ['no flag', qkv, { is_causal: 2 }, OptionError, [/is_causal/, /2/]],
      ['an unknown mode', qkv, { qk_matmul_output_mode: 4 }, OptionError, [/qk_matmul_output_mode/, /4/]],
      ['an infinite scale', qkv, { scale: Number.POSITIVE_INFINITY }, OptionError, [/scale/]],
      ['a negative softcap', qkv, { softcap: -1 }, OptionError, [/softcap/, /-1/]],
      ['a precision of integers', qkv, { softmax_precision: 7 }, OptionError, [/softmax_precision/, /7/]],
    ],
  ],
  [
    RotaryEmbedding,
    RotaryEmbeddingSync,
    [
      ['no caches', () => ({ input: f32(2, 4, 3, 8) }), {}, ShapeError, [/cos_cache/]],
      ['no positions', rotary, {}, ShapeError, [/cos_cache/, /9, 4/]],
      ['positions out of range', () => ({ ...rotary(), position_ids: positions(9) }), {}, ShapeError, [/9/, /8/]],
      ['negative positions', () => ({ ...rotary(), position_ids: positions(-1) }), {}, ShapeError, [/-1/]],
      ['three axes', () => ({ ...rotary(), input: f32(2, 3, 32) }), {}, OptionError, [/num_heads/]],
      [
        'an odd part',
        () => ({ ...rotary(), position_ids: positions(1) }),
        { rotary_embedding_dim: 3 },
        OptionError,
        [/3/, /even/],
      ],
      [
        'caches of two widths',
        () => ({ ...rotary(), sin_cache: f32(9, 3), position_ids: positions(1) }),
        {},
        ShapeError,
        [/sin_cache/, /3/],
      ],
      ['integers', () => ({ ...rotary(), input: rt.empty([2, 4, 3, 8], 'i32') }), {}, DTypeError, [/input/]],
    ],
  ],
  [
    LinearAttention,
    LinearAttentionSync,
    [
      ['no value', () => ({ ...linear(), value: undefined }), linearly, ShapeError, [/value/, /tensor/]],
      ['no heads', linear, { kv_num_heads: 2, update_rule: 'linear' }, OptionError, [/q_num_heads/]],
      ['heads that do not divide', linear, { ...linearly, q_num_heads: 3 }, ShapeError, [/3/, /32/]],
      ['heads that do not group', linear, { ...linearly, kv_num_heads: 4, q_num_heads: 2 }, ShapeError, [/key/, /16/]],
      [
        'fewer query heads',
        () => ({ ...linear(), query: f32(2, 3, 8) }),
        { ...linearly, q_num_heads: 1 },
        OptionError,
        [/q_num_heads/, /multiple/],
      ],
      ['four axes', () => ({ ...linear(), query: f32(2, 3, 4, 8) }), linearly, ShapeError, [/query/]],
      ['a key of another length', () => ({ ...linear(), key: f32(2, 4, 16) }), linearly, ShapeError, [/key/, /4/]],
      [
        'a key of another type',
        () => ({ ...linear(), key: rt.empty([2, 3, 16], 'f16') }),
        linearly,
        DTypeError,
        [/key/],
      ],
      ['integers', () => ({ ...linear(), query: rt.empty([2, 3, 32], 'i32') }), linearly, DTypeError, [/query/, /i32/]],
      [
        'a state of other heads',
        () => ({ ...linear(), past_state: f32(2, 4, 8, 6) }),
        linearly,
        ShapeError,
        [/past_state/, /4/],
      ],
      ['no decay', linear, gated, OptionError, [/decay/]],
      ['a decay too many', () => ({ ...linear(), decay: f32(2, 3, 2) }), linearly, OptionError, [/decay/]],
      ['a decay of query heads', () => ({ ...linear(), decay: f32(2, 3, 4) }), gated, ShapeError, [/decay/, /16/]],
      ['beta', () => ({ ...linear(), beta: f32(2, 3, 2) }), linearly, OptionError, [/beta/]],
      ['the rule left out', linear, heads, OptionError, [/gated_delta/, /decay/]],
      ['no beta', linear, { ...heads, update_rule: 'delta' }, OptionError, [/delta/, /beta/]],
      [
        'a decay of the delta rule',
        () => ({ ...linear(), decay: f32(2, 3, 2), beta: f32(2, 3, 2) }),
        { ...heads, update_rule: 'delta' },
        OptionError,
        [/has no decay/],
      ],
      [
        'a beta of query heads',
        () => ({ ...linear(), decay: f32(2, 3, 2), beta: f32(2, 3, 4) }),
        heads,
        ShapeError,
        [/beta/, /2,3,4/, /2, 3, 1/],
      ],
      ['an unknown rule', linear, { ...heads, update_rule: 'lineal' }, OptionError, [/lineal/]],
      ['an infinite scale', linear, { ...linearly, scale: Number.POSITIVE_INFINITY }, OptionError, [/scale/]],
      ['a misspelt attribute', linear, { ...linearly, chunk: 64 }, OptionError, [/chunk/, /chunk_size/]],
    ],
  ],
  [
    RMSNormalization,
    RMSNormalizationSync,
    [
      ['no scale', () => ({ X: f32(2, 5) }), {}, ShapeError, [/scale/]],
      ['a scale of another length', () => ({ X: f32(2, 5), scale: f32(4) }), {}, ShapeError, [/scale/, /4/, /5/]],
      ['a scale of other axes', () => ({ X: f32(2, 5), scale: f32(2, 5) }), {}, ShapeError, [/scale/, /2,5/]],
      ['an axis too far', () => ({ X: f32(2, 5), scale: f32(5) }), { axis: 2 }, OptionError, [/axis/, /2/]],
      ['an unknown stash', () => ({ X: f32(2, 5), scale: f32(5) }), { stash_type: 2 }, OptionError, [/stash_type/]],
      ['a negative epsilon', () => ({ X: f32(2, 5), scale: f32(5) }), { epsilon: -1 }, OptionError, [/epsilon/]],
    ],
  ],
  [
    TensorScatter,
    TensorScatterSync,
    [
      ['no update', () => ({ past_cache: f32(2, 7, 5) }), {}, ShapeError, [/update/]],
      ['an update of another width', () => ({ ...cache(), update: f32(2, 3, 4) }), {}, ShapeError, [/2,3,4/, /2,7,5/]],
      ['an update too long', () => ({ ...cache(), update: f32(2, 8, 5) }), {}, ShapeError, [/8/, /7/]],
      [
        'an update of another type',
        () => ({ ...cache(), update: rt.empty([2, 3, 5], 'f16') }),
        {},
        DTypeError,
        [/f16/],
      ],
      ['rows past the end', () => ({ ...cache(), write_indices: i32(0, 5) }), {}, ShapeError, [/5/, /4/]],
      ['a negative row', () => ({ ...cache(), write_indices: i32(-1, 0) }), { mode: 'circular' }, ShapeError, [/-1/]],
      ['the batch axis', cache, { axis: 0 }, OptionError, [/axis/, /0/]],
      ['an unknown mode', cache, { mode: 'ring' }, OptionError, [/ring/, /circular/]],
    ],
  ],
  [
    CausalConvWithState,
    CausalConvWithStateSync,
    [
      ['no weight', () => ({ input: f32(2, 4, 8) }), {}, ShapeError, [/weight/]],
      ['a weight of other channels', () => ({ ...streamed(), weight: f32(5, 1, 3) }), {}, ShapeError, [/5, 1, 3/, /4/]],
      ['a weight of groups', () => ({ ...streamed(), weight: f32(4, 2, 3) }), {}, ShapeError, [/4, 2, 3/]],
      ['no taps', () => ({ ...streamed(), weight: f32(4, 1, 0) }), {}, ShapeError, [/k > 0/]],
      ['a bias of another length', () => ({ ...streamed(), bias: f32(3) }), {}, ShapeError, [/bias/, /3/]],
      [
        'a state of another length',
        () => ({ ...streamed(), past_state: f32(2, 4, 3) }),
        {},
        ShapeError,
        [/past_state/],
      ],
      ['two types', () => ({ ...streamed(), weight: rt.empty([4, 1, 3], 'f16') }), {}, DTypeError, [/weight/, /f16/]],
      ['an unknown activation', streamed, { activation: 'relu' }, OptionError, [/relu/, /swish/]],
    ],
  ],
];

test('CausalConvWithState continues from its own state, in f32, f16 and bf16', async () => {
  const random = randomFrom(44);
  const [B, C, T, k, cut] = [2, 5, 13, 4, 2];
  const input = normal(random, [B, C, T]);
  const weight = normal(random, [C, 1, k]);
  for (const each of runtimes) {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      await each.scope(async () => {
        const x = each.tensor(input.data, input.shape, dtype);
        const w = each.tensor(weight.data, weight.shape, dtype);
        const whole = await CausalConvWithState({ input: x, weight: w });
        const first = await CausalConvWithState({ input: x.slice(2, 0, cut), weight: w });
        const past_state = first.present_state;
        const second = await CausalConvWithState({ input: x.slice(2, cut, T), weight: w, past_state });
        const asArray = (tensor: Tensor) => ({ shape: tensor.shape, data: tensor.dataSync() });
        assert.equal(second.output.dtype, dtype);
        const limit = { f32: 1e-6, f16: 4e-3, bf16: 4e-2 }[dtype];
        assertNear(asArray(second.output), asArray(whole.output.slice(2, cut, T)), limit, `${each.variant} ${dtype}`);
        assertSameBits(asArray(second.present_state), asArray(whole.present_state), `${each.variant} ${dtype}: state`);
      });
    }
  }
});

for (const [op, sync, calls] of wrong) {
  test(`${op.name} names what is wrong`, async () => {
    for (const [what, inputs, attributes, error, says] of calls) {
      await rt.scope(async () => {
        const given = inputs();
        const blocks = rt.memory().blocks;
        const check = (thrown: unknown) => {
          assert.ok(thrown instanceof error, `${what}: ${thrown}`);
          for (const word of [new RegExp(op.name), ...says]) assert.match(thrown.message, word, what);
          return true;
        };
        await assert.rejects(async () => op(given, attributes), check, what);
        assert.throws(() => sync(given, attributes), check, what);
        assert.equal(rt.memory().blocks, blocks, `${what}: blocks are left behind`);
      });
    }
  });
}

test('flags, precisions and absent inputs as ONNX engines pass them', async () => {
  const each: Runtime = rt;
  await each.scope(async () => {
    const inputs = { ...qkv(), attn_mask: undefined, past_key: undefined, past_value: undefined };
    for (const softmax_precision of [1, 10, 11, 16]) {
      const { Y, ...others } = await Attention(inputs, { is_causal: true, softmax_precision, softcap: 0 });
      assert.deepEqual(Y.shape, [2, 4, 5, 6]);
      assert.deepEqual(others, {});
    }
    const empty = await Attention(
      { Q: f32(2, 4, 0, 8), K: f32(2, 2, 0, 8), V: f32(2, 2, 0, 8) },
      { qk_matmul_output_mode: 3 },
    );
    assert.deepEqual(
      [empty.Y.shape, empty.qk_matmul_output?.shape],
      [
        [2, 4, 0, 8],
        [2, 4, 0, 0],
      ],
    );
    const { Y } = await RMSNormalization({ X: f32(0, 5), scale: f32(5) }, { stash_type: 1 });
    assert.deepEqual(Y.shape, [0, 5]);
  });
});
