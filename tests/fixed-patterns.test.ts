import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Runtime } from '../src/index.ts';
import { bigbird } from '../src/ops/bigbird.ts';
import { blockwiseAttention } from '../src/ops/blockwise.ts';
import { dilatedAttention } from '../src/ops/dilated.ts';
import { ditFastAttention } from '../src/ops/dit-fast.ts';
import { duoAttention } from '../src/ops/duo-attention.ts';
import { logsparseAttention } from '../src/ops/logsparse.ts';
import { longformer } from '../src/ops/longformer.ts';
import { moaAttention } from '../src/ops/moa.ts';
import { fixedAttention, stridedAttention } from '../src/ops/sparse-transformer.ts';
import { streamingLlm } from '../src/ops/streaming-llm.ts';
import { assertAccurate, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import { bigbird as bigbirdReference } from './reference/bigbird.ts';
import {
  ditFastAttention as ditReference,
  duoBlend,
  duoAttention as duoReference,
  moaAttention as moaReference,
} from './reference/head-plans.ts';
import { longformer as longformerReference } from './reference/longformer.ts';
import * as references from './reference/patterns.ts';
import { variants } from './runtimes.ts';
import { bits, type FloatSample, floats, ints, normal, randomFrom } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const shapes = fc
  .record({
    seed: fc.nat(),
    batch: fc.constantFrom(1, 1, 2),
    t: fc.constantFrom(1, 2, 5, 63, 64, 65, 100, 131, 200),
    hkv: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(1, 1, 2, 3),
    d: fc.constantFrom(1, 3, 18, 64),
    dv: fc.constantFrom(1, 20, 64),
  })
  .filter(({ batch, t, hkv, group, d, dv }) => batch * hkv * group * t * t * (d + dv) < 6e5);

type Shape = typeof shapes extends fc.Arbitrary<infer T> ? T : never;

function operands(random: () => number, { batch, t, hkv, group, d, dv }: Shape) {
  return {
    q: normal(random, [batch, t, hkv * group, d]),
    k: normal(random, [batch, t, hkv, d]),
    v: normal(random, [batch, t, hkv, dv]),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: every method's inputs and options are its own
type Any = any;

/** `call` for options that a method must be given. */
const run = (rt: Runtime, op: Any, inputs: Any, options: Any): Promise<Any> => call(rt, op, inputs, options);

/** A method on random shapes, with options and further inputs of its own. */
function check(
  name: string,
  op: Any,
  reference: Any,
  options: fc.Arbitrary<object>,
  more: (random: () => number, shape: Shape, options: Any) => object = () => ({}),
  runs = 11,
) {
  test(name, () =>
    property(fc.record({ shape: shapes, options }), runs, async ({ shape, options }) => {
      const random = randomFrom(shape.seed);
      const inputs = { ...operands(random, shape), ...more(random, shape, options) } as Any;
      const wanted = expected((round) => reference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await run(rt, op, inputs, options), wanted, rt.variant);
    }),
  );
}

const scale = sometimes(fc.double({ min: 0.05, max: 1, noNaN: true }));
const causal = fc.boolean();

check(
  'strided',
  stridedAttention,
  references.stridedAttention,
  fc.record({ stride: fc.constantFrom(1, 2, 7, 16, 64, 90, 300), causal, scale }),
);

check(
  'fixed',
  fixedAttention,
  references.fixedAttention,
  fc
    .record({ stride: fc.constantFrom(1, 2, 7, 16, 64, 90, 300), part: fc.constantFrom(0, 0.2, 0.5, 1), causal })
    .map(({ stride, part, causal }) => ({ stride, summary: Math.ceil(stride * part), causal })),
);

check(
  'dilated',
  dilatedAttention,
  references.dilatedAttention,
  fc.record({ window: fc.constantFrom(1, 2, 6, 40), dilation: fc.constantFrom(1, 2, 4, 30), causal }),
);

test('blockwise, with permutations and without', () =>
  property(
    fc.record({
      shape: shapes,
      blockSize: fc.constantFrom(1, 5, 16, 64, 90),
      causal,
      permuted: fc.constantFrom('none', 'shared', 'own'),
    }),
    10,
    async ({ shape, blockSize, causal, permuted }) => {
      const random = randomFrom(shape.seed);
      const blocks = Math.ceil(shape.t / blockSize);
      const rows = permuted === 'own' ? shape.hkv * shape.group : 1;
      const permutation = ints(
        Array.from({ length: rows * blocks }, () => Math.floor(random() * blocks)),
        [rows, blocks],
      );
      const inputs: Any = { ...operands(random, shape), ...(permuted !== 'none' && { permutation }) };
      const options = { blockSize, causal };
      const wanted = expected((round) => references.blockwiseAttention(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await run(rt, blockwiseAttention, inputs, options), wanted, rt.variant);
    },
  ));

check(
  'logsparse',
  logsparseAttention,
  references.logsparseAttention,
  fc.record({ window: fc.constantFrom(1, 2, 5, 8, 9, 40), causal, scale }),
);

check(
  'streamingLlm',
  streamingLlm,
  references.streamingLlm,
  fc.record({ sinks: fc.constantFrom(0, 1, 4, 70, 300), window: fc.constantFrom(1, 12, 64, 100, 300) }),
);

check(
  'longformer',
  longformer,
  longformerReference,
  fc.record({ window: fc.constantFrom(0, 1, 8, 40, 300), dilation: fc.constantFrom(1, 1, 3), causal, scale }),
  (random, { batch, t }) => ({ globalMask: bits(random, [batch, t], 0.1) }),
);

test('longformer with projections for global rows and a dilation for each head', () =>
  property(
    fc.record({ shape: shapes, window: fc.constantFrom(1, 8, 40), density: fc.constantFrom(0, 0.02, 0.3), causal }),
    10,
    async ({ shape, window, density, causal }) => {
      const random = randomFrom(shape.seed);
      const { q: qGlobal, k: kGlobal, v: vGlobal } = operands(random, shape);
      const globalMask = bits(random, [shape.batch, shape.t], density);
      const inputs = { ...operands(random, shape), globalMask, qGlobal, kGlobal, vGlobal };
      const dilation = Array.from({ length: shape.hkv * shape.group }, () => 1 + Math.floor(3 * random()));
      const options = { window, dilation, causal };
      const wanted = expected((round) => longformerReference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await run(rt, longformer, inputs, options), wanted, rt.variant);
    },
  ));

test('bigbird with given blocks', () =>
  property(
    fc.record({ shape: shapes, blockSize: fc.constantFrom(1, 16, 23, 64), r: fc.constantFrom(0, 1, 2) }),
    10,
    async ({ shape, blockSize, r }) => {
      const random = randomFrom(shape.seed);
      const n = Math.ceil(shape.t / blockSize);
      const heads = shape.hkv * shape.group;
      const rows = Math.max(0, n - 2);
      const randBlocks = ints(
        Array.from({ length: heads * rows * r }, () => Math.floor(random() * n)),
        [heads, rows, r],
      );
      const inputs = { ...operands(random, shape), randBlocks };
      const options = { blockSize };
      const wanted = expected((round) => bigbirdReference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await run(rt, bigbird, inputs, options), wanted, rt.variant);
    },
  ));

test('duoAttention by head, by gate and as a blend', () =>
  property(
    fc.record({ shape: shapes, sinks: fc.constantFrom(0, 4, 64), recent: fc.constantFrom(1, 30, 256) }),
    10,
    async ({ shape, sinks, recent }) => {
      const random = randomFrom(shape.seed);
      const inputs = operands(random, shape);
      const full = Array.from({ length: shape.hkv }, () => random() < 0.5);
      const gate = floats([shape.hkv], (h) => (full[h] ? 0.7 : 0.3) + 0.1 * random());
      const options = { sinks, recent };
      const wanted = expected((round) => duoReference(inputs, { ...options, full }, round));
      const blended = expected((round) => duoBlend({ ...inputs, gate }, options, round));
      for (const rt of runtimes) {
        assertAccurate(await run(rt, duoAttention, inputs, { ...options, full }), wanted, `${rt.variant}, full`);
        assertAccurate(await run(rt, duoAttention, { ...inputs, gate }, options), wanted, `${rt.variant}, gate`);
        const got = await run(rt, duoAttention, { ...inputs, gate }, { ...options, blend: true });
        assertAccurate({ o: got.o }, blended, `${rt.variant}, blend`);
      }
    },
  ));

test('moaAttention', () =>
  property(
    fc.record({ shape: shapes, sinks: fc.constantFrom(0, 4, 64), blockSize: fc.constantFrom(1, 16, 64) }),
    10,
    async ({ shape, sinks, blockSize }) => {
      const random = randomFrom(shape.seed);
      const heads = shape.hkv * shape.group;
      const alpha = Array.from({ length: heads }, () => (random() < 0.5 ? 16 : 40));
      const beta = Array.from({ length: heads }, () => (random() < 0.5 ? 0 : 0.2));
      const inputs = operands(random, shape);
      const options = { alpha, beta, sinks, blockSize };
      const wanted = expected((round) => moaReference(inputs, options, round));
      for (const rt of runtimes) assertAccurate(await run(rt, moaAttention, inputs, options), wanted, rt.variant);
    },
  ));

test('ditFastAttention, with a residual and without', () =>
  property(fc.record({ shape: shapes, window: fc.constantFrom(0, 1, 20, 300) }), 10, async ({ shape, window }) => {
    const random = randomFrom(shape.seed);
    const inputs = operands(random, shape);
    const residual: FloatSample = normal(random, [shape.batch, shape.t, shape.hkv * shape.group, shape.dv]);
    const first = expected((round) => ditReference(inputs, { window }, round));
    const later = expected((round) => ({ o: ditReference({ ...inputs, residual }, { window }, round).o }));
    for (const rt of runtimes) {
      assertAccurate(await run(rt, ditFastAttention, inputs, { window }), first, `${rt.variant}, first`);
      const got = await run(rt, ditFastAttention, { ...inputs, residual }, { window });
      assertAccurate({ o: got.o }, later, `${rt.variant}, later`);
    }
  }));
