// What must hold between methods: patterns that hide nothing are dense attention, methods equal attention over their rule's block mask.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as wattn from '../src/index.ts';
import {
  attention,
  blockMask,
  createRuntime,
  type Pattern,
  patterns,
  type Runtime,
  type Tensor,
} from '../src/index.ts';
import { assertNear, assertSameBits } from './accuracy.ts';
import { call } from './call.ts';
import type { NdArray } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { bits, floats, normal, randomFrom, type Sample } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

// biome-ignore lint/suspicious/noExplicitAny: every method's inputs and options are its own
type Any = any;
const run = (rt: Runtime, op: Any, inputs: Any, options?: Any): Promise<Any> => call(rt, op, inputs, options);

const [B, T, HKV, G, D, DV] = [2, 120, 2, 2, 20, 12];
const H = HKV * G;
const random = randomFrom(77);
const inputs = {
  q: normal(random, [B, T, H, D]),
  k: normal(random, [B, T, HKV, D]),
  v: normal(random, [B, T, HKV, DV]),
};
/** The same tokens as a grid. */
const onGrid = (grid: readonly number[]) =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, data }]) => [name, { shape: [B, ...grid, ...shape.slice(2)], data }]),
  );
const flat = ({ data }: NdArray, width: number): NdArray => ({ shape: [B, T, H, width].slice(0, width ? 4 : 3), data });

const every = (n: number) => new Array<number>(H).fill(n);

test('patterns that hide nothing are dense attention', async () => {
  const whole: [name: string, options: object, causal: boolean, grid?: number[]][] = [
    ['stridedAttention', { stride: T, causal: true }, true],
    ['stridedAttention', { stride: 1 }, false],
    ['fixedAttention', { stride: 7, summary: 7, causal: true }, true],
    ['fixedAttention', { stride: T, summary: 0 }, false],
    ['dilatedAttention', { window: T, causal: true }, true],
    ['dilatedAttention', { window: T }, false],
    ['blockwiseAttention', { blockSize: T, causal: true }, true],
    ['logsparseAttention', { window: T }, false],
    ['streamingLlm', { window: T }, true],
    ['streamingLlm', { sinks: T - 1, window: 1 }, true],
    ['longformer', { window: T }, false],
    ['longformer', { window: T - 1, causal: true }, true],
    ['bigbird', { blockSize: 40, randomBlocks: 0 }, false],
    ['bigbird', { blockSize: 20, randomBlocks: 9 }, false],
    ['neighborhoodAttention', { kernelSize: T }, false, [T]],
    ['neighborhoodAttention', { kernelSize: [12, 10] }, false, [12, 10]],
    ['neighborhoodAttention', { kernelSize: T, causal: true }, true, [T]],
    ['slidingTileAttention', { grid: [4, 5, 6], tile: [2, 2, 4], window: [2, 3, 2] }, false],
    ['radialAttention', { frames: 1, tokensPerFrame: T }, false],
    [
      'sparseVideoGen',
      { frames: 4, tokensPerFrame: 30, width: 4, heads: ['spatial', 'temporal', 'temporal', 'spatial'] },
      false,
    ],
    ['paroAttention', { grid: [4, 5, 6], orders: ['hwf', 'fhw', 'wfh', 'whf'] }, false],
    ['duoAttention', { full: [true, true] }, true],
    ['moaAttention', { alpha: T, beta: 0 }, true],
    ['ditFastAttention', { window: 3 }, false],
  ];
  for (const rt of runtimes) {
    for (const causal of [false, true]) {
      const dense = await run(rt, attention, inputs, { causal });
      for (const [name, options, isCausal, grid] of whole) {
        if (isCausal !== causal) continue;
        const got = await run(rt, (wattn as Any)[name], grid ? onGrid(grid) : inputs, options);
        const what = `${rt.variant}: ${name} ${JSON.stringify(options)}`;
        assertNear(flat(got.o, DV), dense.o, 3e-6, what);
        if (got.lse) assertNear(flat(got.lse, 0), dense.lse, 3e-6, what);
      }
    }
  }
});

test('methods equal attention over the block mask of their rule', async () => {
  const global = [0, 1, 77];
  const globalMask: Sample = {
    shape: [B, T],
    data: Uint8Array.from({ length: B * T }, (_, n) => (global.includes(n % T) ? 1 : 0)),
  };
  const video = { frames: 4, tokensPerFrame: 28 };
  const kinds = ['spatial', 'temporal', 'temporal', 'spatial'] as const;
  const neighbors = { kernelSize: [3, 4], dilation: [2, 1], stride: [1, 2] };
  const tiles = { grid: [4, 4, 7], tile: [2, 3, 4], window: [1, 1, 2] };
  const near = { alpha: [16, 30, 5, 9], beta: [0, 0.1, 0.2, 0.3] };
  const pairs: [name: string, options: object, rule: Pattern, more?: object, grid?: number[]][] = [
    ['stridedAttention', { stride: 11, causal: true }, patterns.strided({ stride: 11, causal: true })],
    ['stridedAttention', { stride: 50 }, patterns.strided({ stride: 50 })],
    [
      'fixedAttention',
      { stride: 25, summary: 4, causal: true },
      patterns.fixed({ stride: 25, summary: 4, causal: true }),
    ],
    ['fixedAttention', { stride: 16, summary: 3 }, patterns.fixed({ stride: 16, summary: 3 })],
    ['dilatedAttention', { window: 9, dilation: 5 }, patterns.dilated({ window: 9, dilation: 5 })],
    ['blockwiseAttention', { blockSize: 33 }, patterns.blockwise({ blockSize: 33 })],
    ['logsparseAttention', { causal: true, window: 12 }, patterns.logsparse({ causal: true, window: 12 })],
    ['streamingLlm', { sinks: 3, window: 20 }, patterns.streamingLlm({ sinks: 3, window: 20 })],
    ['longformer', { window: 13 }, patterns.longformer({ window: 13, global }), { globalMask }],
    ['longformer', { window: 6, dilation: 3 }, patterns.longformer({ window: 6, global, dilation: 3 }), { globalMask }],
    [
      'bigbird',
      { blockSize: 10, randomBlocks: 2, seed: 3 },
      patterns.bigbird({ blockSize: 10, randomBlocks: 2, seed: 3 }),
    ],
    [
      'swinAttention',
      { windowSize: 2, shiftSize: 1 },
      patterns.swin({ grid: [12, 10], windowSize: 2, shiftSize: 1 }),
      {},
      [12, 10],
    ],
    ['neighborhoodAttention', neighbors, patterns.neighborhood({ grid: [12, 10], ...neighbors }), {}, [12, 10]],
    ['slidingTileAttention', tiles, patterns.slidingTile(tiles)],
    ['radialAttention', { ...video, blockSize: 8 }, patterns.radial({ ...video, blockSize: 8 })],
    [
      'sparseVideoGen',
      { ...video, width: 0.4, heads: kinds },
      patterns.sparseVideoGen({ ...video, width: 0.4, heads: kinds }),
    ],
    [
      'duoAttention',
      { full: [false, true], sinks: 2, recent: 9 },
      patterns.duoAttention({ full: [false, false, true, true], sinks: 2, recent: 9 }),
    ],
    [
      'moaAttention',
      { ...near, sinks: 2, blockSize: 4 },
      patterns.moaAttention({ ...near, length: T, sinks: 2, blockSize: 4 }),
    ],
  ];
  for (const rt of runtimes) {
    for (const [name, options, rule, more, grid] of pairs) {
      const mask = blockMask(rule, { Tq: T, Tk: T, heads: H, batch: B });
      const want = await run(rt, attention, inputs, { blockMask: mask });
      const got = await run(rt, (wattn as Any)[name], { ...(grid ? onGrid(grid) : inputs), ...more }, options);
      const what = `${rt.variant}: ${name} ${JSON.stringify(options)}`;
      assertNear(flat(got.o, DV), want.o, 3e-6, what);
      assertNear(flat(got.lse, 0), want.lse, 3e-6, what);
      mask.dispose();
    }
  }
});

test('DuoAttention: gates of 1 are full, gates of 0 streaming, and a quantile of the gates keeps as many heads', async () => {
  const options = { sinks: 4, recent: 30 };
  const gate = (...values: number[]) => floats([HKV], (n) => values[n]!);
  for (const rt of runtimes) {
    const full = await run(rt, attention, inputs, { causal: true });
    const streaming = await run(rt, wattn.streamingLlm, inputs, { sinks: 4, window: 30 });
    for (const blend of [true, false]) {
      const what = `${rt.variant}, blend ${blend}`;
      const one = await run(rt, wattn.duoAttention, { ...inputs, gate: gate(1, 1) }, { ...options, blend });
      assertNear(one.o, full.o, 1e-6, `${what}: 1`);
      const none = await run(rt, wattn.duoAttention, { ...inputs, gate: gate(0, 0) }, { ...options, blend });
      assertNear(none.o, streaming.o, 1e-6, `${what}: 0`);
    }
    const mixed = { ...inputs, gate: gate(0.1, 0.2) };
    const half = await run(rt, wattn.duoAttention, mixed, { ...options, sparsity: 0.5 });
    assertSameBits(
      half.o,
      (await run(rt, wattn.duoAttention, inputs, { ...options, full: [false, true] })).o,
      rt.variant,
    );
    for (const [sparsity, heads] of [
      [0, true],
      [1, false],
    ] as const) {
      const got = await run(rt, wattn.duoAttention, mixed, { ...options, sparsity });
      const want = await run(rt, wattn.duoAttention, inputs, { ...options, full: [heads, heads] });
      assertSameBits(got.o, want.o, `${rt.variant}: sparsity ${sparsity}`);
    }
  }
});

test('DiTFastAttn: a window with the residual of the same step is full attention', async () => {
  for (const rt of runtimes) {
    const full = await run(rt, attention, inputs);
    const first = await run(rt, wattn.ditFastAttention, inputs, { window: 9 });
    assertNear(first.o, full.o, 1e-6, rt.variant);
    const residual = floats(first.residual.shape, (n) => first.residual.data[n]);
    const later = await run(rt, wattn.ditFastAttention, { ...inputs, residual }, { window: 9 });
    assertNear(later.o, full.o, 2e-6, rt.variant);
    assert.equal(later.residual, undefined);
  }
});

test('a mixture in which every token takes all heads alike is multi-query attention', async () => {
  const [k, v] = [normal(random, [B, T, D]), normal(random, [B, T, DV])];
  const weights = floats([B, T, H], () => 0.5);
  for (const rt of runtimes) {
    const heads = await run(
      rt,
      attention,
      { q: inputs.q, k: { ...k, shape: [B, T, 1, D] }, v: { ...v, shape: [B, T, 1, DV] } },
      { causal: true },
    );
    const want = floats([B, T, DV], (n) => {
      const [row, c] = [Math.floor(n / DV), n % DV];
      return every(0).reduce((sum, _, h) => sum + 0.5 * heads.o.data[(row * H + h) * DV + c], 0);
    });
    const got = await run(rt, wattn.mixtureOfHeads, { q: inputs.q, k, v, weights }, { causal: true });
    assertNear(got.o, want, 2e-6, rt.variant);
  }
});

test('tensors of any strides and of 16 bits', async () => {
  const globalMask = bits(randomFrom(3), [B, T], 0.05);
  const methods: [name: string, options: object, more?: object][] = [
    ['stridedAttention', { stride: 9, causal: true }],
    ['fixedAttention', { stride: 20, summary: 3, causal: true }],
    ['dilatedAttention', { window: 9, dilation: 3 }],
    ['blockwiseAttention', { blockSize: 50 }],
    ['logsparseAttention', { causal: true }],
    ['streamingLlm', { window: 20 }],
    ['longformer', { window: 9, dilation: 2 }, { globalMask }],
    ['bigbird', { blockSize: 10 }],
    ['slidingTileAttention', { grid: [4, 5, 6], tile: [2, 2, 4], window: [1, 1, 1] }],
    ['duoAttention', { full: [false, true], sinks: 2, recent: 9 }],
    ['ditFastAttention', { window: 9 }],
  ];
  for (const rt of runtimes) {
    for (const [name, options, more = {}] of methods) {
      const method = (wattn as Any)[name];
      const want = await run(rt, method, { ...inputs, ...more }, options);
      /** A tensor [B, T, H, D] that lies as [B, H, T, D]. */
      const headsFirst = ({ shape, data }: Sample): Tensor => {
        const [batch, length, heads, d] = shape as [number, number, number, number];
        const moved = floats([batch, heads, length, d], (n) => {
          const c = n % d;
          const t = Math.floor(n / d) % length;
          const [b, h] = [Math.floor(n / d / length / heads), Math.floor(n / d / length) % heads];
          return data[((b * length + t) * heads + h) * d + c]!;
        });
        return rt.tensor(moved.data, moved.shape).permute([0, 2, 1, 3]);
      };
      const [q, k, v] = [headsFirst(inputs.q), headsFirst(inputs.k), headsFirst(inputs.v)];
      const got = await run(rt, method, { q, k, v, ...more }, options);
      assertNear(got.o, want.o, 1e-6, `${rt.variant}: ${name}, heads first`);
      for (const tensor of [q, k, v]) tensor.dispose();
      const halves = Object.fromEntries(
        Object.entries(inputs).map(([n, { data, shape }]) => [n, rt.tensor(data, shape, 'f16')]),
      );
      const rounded = Object.fromEntries(
        await Promise.all(
          Object.entries(halves).map(async ([n, x]) => [
            n,
            { shape: x.shape, data: Float32Array.from(await x.data()) },
          ]),
        ),
      );
      const narrow = await run(rt, method, { ...halves, ...more }, options);
      const wide = await run(rt, method, { ...rounded, ...more }, options);
      assertNear(narrow.o, wide.o, 1e-6, `${rt.variant}: ${name}, f16`);
      for (const tensor of Object.values(halves)) tensor.dispose();
    }
  }
});

test('no tokens and no batch: empty results', async () => {
  for (const [b, t] of [
    [1, 0],
    [0, 5],
  ] as const) {
    const empty = {
      q: normal(random, [b, t, 2, 3]),
      k: normal(random, [b, t, 2, 3]),
      v: normal(random, [b, t, 2, 4]),
    };
    const options: Record<string, object> = {
      stridedAttention: { stride: 2 },
      fixedAttention: { stride: 2, summary: 1 },
      dilatedAttention: { window: 2, dilation: 2 },
      blockwiseAttention: { blockSize: 2 },
      logsparseAttention: {},
      streamingLlm: { window: 2 },
      longformer: { window: 2 },
      bigbird: {},
      duoAttention: { full: [true, false] },
      moaAttention: { alpha: 1, beta: 0 },
      ditFastAttention: { window: 2 },
    };
    for (const rt of runtimes) {
      for (const [name, given] of Object.entries(options)) {
        const got = await run(rt, (wattn as Any)[name], empty, given);
        assert.deepEqual([...got.o.shape], [b, t, 2, 4], name);
      }
    }
  }
});

test('results do not depend on the number of threads, and the synchronous twins give the same', async () => {
  const several = await createRuntime({ variant: 'simd', threads: 3 });
  const one = runtimes.find((rt) => rt.variant === 'simd')!;
  const methods: [name: string, options: object, grid?: number[]][] = [
    ['stridedAttention', { stride: 9, causal: true }],
    ['fixedAttention', { stride: 20, summary: 3 }],
    ['logsparseAttention', {}],
    ['bigbird', { blockSize: 10 }],
    ['neighborhoodAttention', { kernelSize: 3 }, [12, 10]],
    ['swinAttention', { windowSize: 2, shiftSize: 1 }, [12, 10]],
  ];
  for (const [name, options, grid] of methods) {
    const given = grid ? onGrid(grid) : inputs;
    const want = await run(one, (wattn as Any)[name], given, options);
    const got = await run(several, (wattn as Any)[name], given, options);
    assertSameBits(got.o, want.o, `${name}: threads`);
    const twin = async (...args: Any[]) => (wattn as Any)[`${name}Sync`](...args);
    assertSameBits((await run(one, twin, given, options)).o, want.o, `${name}: sync`);
  }
  several.dispose();
});

test('one call may have more windows than masks are kept', async () => {
  const [length, heads] = [90, 80];
  const shape = [1, length, heads, 4];
  const many = { q: normal(random, shape), k: normal(random, shape), v: normal(random, shape) };
  const windows = { alpha: Array.from({ length: heads }, (_, h) => h + 1), beta: new Array<number>(heads).fill(0) };
  const options = { ...windows, sinks: 1, blockSize: 1 };
  const mask = blockMask(patterns.moaAttention({ ...options, length }), { Tq: length, Tk: length, heads });
  for (const rt of runtimes) {
    const want = await run(rt, attention, many, { blockMask: mask });
    assertNear((await run(rt, wattn.moaAttention, many, options)).o, want.o, 2e-6, rt.variant);
  }
  mask.dispose();
});
