import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { explain } from '../src/explain.ts';
import { features, packMatrix, type Runtime, type Tensor } from '../src/index.ts';
import { OPS } from '../src/ops/registry.ts';
import { assertAccurate, assertNear, assertSameBits, expected } from './accuracy.ts';
import { call } from './call.ts';
import { property, sometimes } from './property.ts';
import * as reference from './reference/features.ts';
import { float64, type NdArray, type Round } from './reference/ndarray.ts';
import { variants } from './runtimes.ts';
import { floats, normal, randomFrom, type Sample } from './samples.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

type Inputs = Record<string, Sample>;
type Options = Record<string, unknown>;
// biome-ignore lint/suspicious/noExplicitAny: references differ in inputs and options
type Reference = (inputs: any, options: any, round: Round) => Record<'o', NdArray>;

/** A feature map by its registered name, on inputs by name. */
function mapped(rt: Runtime, name: string, inputs: Record<string, Sample | Tensor>, options: Options = {}) {
  const entry = OPS.find((op) => op.name === `features.${name}`) ?? assert.fail(`no features.${name}`);
  return call(rt, (tensors: Record<string, Tensor>) => entry.run(tensors, options), inputs) as Promise<{ o: NdArray }>;
}

/** Scratch is one block, which the first call that needs it takes for good. */
async function takeScratch(rt: Runtime): Promise<void> {
  await mapped(rt, 'dpfp', { x: floats([1, 80], () => 1) });
}
for (const rt of runtimes) await takeScratch(rt);

async function check(name: string, of: Reference, inputs: Inputs, options: Options = {}): Promise<void> {
  const wanted = expected((round) => of(inputs, options, round));
  for (const rt of runtimes) assertAccurate(await mapped(rt, name, inputs, options), wanted, `${rt.variant}: ${name}`);
}

const POINTWISE: Record<string, Reference> = {
  elu1: reference.elu1,
  relu: reference.relu,
  squaredRelu: reference.squaredRelu,
  sigmoid: reference.sigmoid,
  exp: reference.expMap,
  silu: reference.silu,
  tanh: reference.tanh,
  softplus: reference.softplus,
  logSigmoid: reference.logSigmoid,
};

const shapes = fc.record({
  seed: fc.nat(),
  lead: fc.constantFrom([], [1], [5], [2, 3], [1, 1, 2], [2, 7, 3], [1, 65, 2], [2, 2, 2, 3]),
  d: fc.constantFrom(1, 2, 3, 4, 7, 16, 18, 64, 80),
});

test('functions of single elements', () =>
  property(
    fc.record({
      shape: shapes,
      name: fc.constantFrom(...Object.keys(POINTWISE)),
      std: fc.constantFrom(0.01, 1, 5),
      temperature: sometimes(fc.constantFrom(16, 0.3, -2)),
    }),
    100,
    async ({ shape: { seed, lead, d }, name, std, temperature }) => {
      const x = normal(randomFrom(seed), [...lead, d], std);
      const options = name === 'logSigmoid' && temperature ? { temperature } : {};
      await check(name, POINTWISE[name]!, { x }, options);
    },
  ));

test('functions of single elements over more than one span', async () => {
  for (const size of [4095, 4096, 4097, 12289]) {
    const x = normal(randomFrom(size), [size], 2);
    for (const [name, of] of Object.entries(POINTWISE)) await check(name, of, { x });
  }
});

test('functions of large, tiny, infinite and missing values', async () => {
  const values = [0, -0, 1e-30, -1e-30, 1e-45, 20, -20, 40, -40, 86.5, -86.5, 88.7, -88.7, 1e4, -1e4, 1e30, -1e30];
  const x = floats([values.length], (n) => values[n]!);
  for (const [name, of] of Object.entries(POINTWISE)) {
    const want = of({ x }, {}, float64).o;
    for (const rt of runtimes) {
      const { o } = await mapped(rt, name, { x });
      for (const [n, value] of values.entries()) {
        const [got, exact] = [o.data[n]!, Math.fround(want.data[n]!)];
        const near = got === exact || Math.abs(got - exact) <= 1e-6 * Math.abs(exact) + 1.2e-38;
        assert.ok(near, `${rt.variant}: ${name}(${value}) is ${got}, not ${exact}`);
      }
      const odd = await mapped(rt, name, { x: floats([3], (n) => [Number.NaN, Infinity, 1][n]!) });
      assert.ok(Number.isNaN(odd.o.data[0]), `${rt.variant}: ${name}(NaN) is ${odd.o.data[0]}`);
      assert.ok(!Number.isNaN(odd.o.data[1]), `${rt.variant}: ${name}(Infinity) is NaN`);
    }
  }
});

test('logSigmoid keeps its relative accuracy where the gate is nearly open', async () => {
  const x = floats([60], (n) => n + 5);
  for (const rt of runtimes) {
    const { o } = await mapped(rt, 'logSigmoid', { x });
    for (let n = 0; n < 60; n++) {
      const want = -Math.log1p(Math.exp(-(n + 5)));
      assert.ok(Math.abs(o.data[n]! / want - 1) < 5e-7, `${rt.variant}: logSigmoid(${n + 5}) is ${o.data[n]}`);
    }
  }
});

test('softmax, l2norm and focused rows', () =>
  property(
    fc.record({
      shape: shapes,
      std: fc.constantFrom(0.1, 1, 20),
      scale: sometimes(fc.constantFrom(0, 0.25, 3)),
      eps: sometimes(fc.constantFrom(0, 1e-3)),
      power: sometimes(fc.constantFrom(1, 2, 4, 2.5)),
    }),
    50,
    async ({ shape: { seed, lead, d }, std, scale, eps, power }) => {
      const x = normal(randomFrom(seed), [...lead, d], std);
      await check('softmax', reference.softmax, { x }, scale === undefined ? {} : { scale });
      await check('l2norm', reference.l2norm, { x }, eps === undefined ? {} : { eps });
      await check('focused', reference.focused, { x }, power === undefined ? {} : { power });
    },
  ));

test('rows of zeros stay zeros, rows of any size keep their direction', async () => {
  const sizes = [0, 1e-42, 1e-30, 1e-10, 1, 1e10, 1e30, 1e38];
  const pattern = [0.5, -1, 2, 0, 0.25];
  const x = floats([sizes.length, 5], (n) => sizes[Math.floor(n / 5)]! * pattern[n % 5]!);
  for (const rt of runtimes) {
    for (const [name, of, options] of [
      ['l2norm', reference.l2norm, { eps: 0 }],
      ['l2norm', reference.l2norm, {}],
      ['focused', reference.focused, {}],
      ['focused', reference.focused, { power: 5 }],
    ] as [string, Reference, Options][]) {
      const { o } = await mapped(rt, name, { x }, options);
      for (const [row, size] of sizes.entries()) {
        // the reference's own powers leave float64 at these sizes, where the maps are homogeneous
        const unit = name === 'focused' && size > 0 ? size : 1;
        const one = { shape: [5], data: Array.from({ length: 5 }, (_, c) => x.data[row * 5 + c]! / unit) };
        const want = of({ x: one }, options, float64).o;
        for (let c = 0; c < 5; c++) {
          const [got, exact] = [o.data[row * 5 + c]!, Math.fround(want.data[c]! * unit)];
          const near = got === exact || Math.abs(got - exact) <= 2e-6 * Math.abs(exact) + 4e-45;
          assert.ok(near, `${rt.variant}: ${name} of ${size} at ${c} is ${got}, not ${exact}`);
        }
      }
      const zeros = await mapped(rt, name, { x: floats([2, 3, 7], () => 0) }, options);
      assert.ok(Array.from(zeros.o.data).every((value) => value === 0));
      const lost = await mapped(rt, name, { x: floats([4], (n) => (n === 1 ? Number.NaN : -1)) }, options);
      assert.ok(Array.from(lost.o.data).every(Number.isNaN), `${rt.variant}: ${name} hides NaN`);
    }
    const rows = { x: floats([2, 6], (n) => (n < 6 ? -Infinity : n === 7 ? 1e30 : -Infinity)) };
    const { o } = await mapped(rt, 'softmax', rows);
    assert.deepEqual(Array.from(o.data), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
  }
});

const LAYOUTS = ['packed', 'full'] as const;

test('second-order maps', () =>
  property(
    fc.record({
      shape: shapes,
      layout: sometimes(fc.constantFrom(...LAYOUTS)),
      scale: sometimes(fc.constantFrom(0, 1, 0.3)),
      alpha: sometimes(fc.constant(-0.7)),
      gamma: sometimes(fc.constant(2)),
    }),
    50,
    async ({ shape: { seed, lead, d }, layout, scale, alpha, gamma }) => {
      const x = normal(randomFrom(seed), [...lead, d]);
      const options = { ...(layout && { layout }), ...(scale !== undefined && { scale }) };
      await check('taylor2', reference.taylor2, { x }, options);
      await check('quadratic', reference.quadratic, { x }, options);
      await check('qtVit', reference.qtVit, { x }, { ...(alpha && { alpha }), ...(gamma && { gamma }) });
    },
  ));

/** phi(q) phi(k) for each row. */
function products(q: NdArray, k: NdArray): number[] {
  const f = q.shape.at(-1)!;
  return Array.from({ length: q.data.length / f }, (_, n) => {
    let sum = 0;
    for (let c = 0; c < f; c++) sum += q.data[n * f + c]! * k.data[n * f + c]!;
    return sum;
  });
}

function assertClose(got: readonly number[], want: readonly number[], what: string): void {
  for (const [n, exact] of want.entries()) {
    assert.ok(
      Math.abs(got[n]! - exact) <= 2e-6 * Math.max(1, Math.abs(exact)),
      `${what} ${n}: ${got[n]}, not ${exact}`,
    );
  }
}

test('identities: products of second-order features are polynomials of q k', async () => {
  for (const d of [1, 3, 16, 18]) {
    const random = randomFrom(d);
    const [q, k] = [normal(random, [40, d]), normal(random, [40, d])];
    const qk = products(q, k);
    for (const rt of runtimes) {
      const of = async (name: string, options: Options) =>
        products((await mapped(rt, name, { x: q }, options)).o, (await mapped(rt, name, { x: k }, options)).o);
      for (const layout of LAYOUTS) {
        const taylor = (scale: number) => qk.map((y) => 1 + scale * y + (scale * y) ** 2 / 2);
        assertClose(await of('taylor2', { layout }), taylor(d ** -0.5), `${rt.variant}: taylor2, ${layout}`);
        assertClose(await of('taylor2', { layout, scale: 0.2 }), taylor(0.2), `${rt.variant}: taylor2, ${layout}`);
        const squares = qk.map((y) => (0.25 * y) ** 2);
        assertClose(await of('quadratic', { layout, scale: 0.25 }), squares, `${rt.variant}: quadratic, ${layout}`);
      }
      // in one dimension there are no mixed products to leave out
      if (d === 1) {
        const taylor = qk.map((y) => 1 + y + y ** 2 / 2);
        assertClose(await of('qtVit', {}), taylor, `${rt.variant}: qtVit`);
      }
    }
  }
});

test('packed second-order features are half as many', async () => {
  const x = normal(randomFrom(1), [2, 16]);
  for (const rt of runtimes) {
    const count = async (name: string, options: Options) => (await mapped(rt, name, { x }, options)).o.shape.at(-1);
    assert.equal(await count('taylor2', {}), 1 + 16 + 136);
    assert.equal(await count('taylor2', { layout: 'full' }), 1 + 16 + 256);
    assert.equal(await count('quadratic', {}), 136);
    assert.equal(await count('qtVit', {}), 33);
  }
});

test('cosine', () =>
  property(
    fc.record({
      seed: fc.nat(),
      t: fc.constantFrom(1, 2, 63, 130),
      heads: fc.constantFrom(1, 3),
      d: fc.constantFrom(1, 3, 16, 18),
      offset: sometimes(fc.nat(100)),
      maxLength: sometimes(fc.constantFrom(130, 1000)),
    }),
    30,
    async ({ seed, t, heads, d, offset, maxLength }) => {
      const x = normal(randomFrom(seed), [2, t, heads, d]);
      await check('cosine', reference.cosine, { x }, { ...(offset && { offset }), ...(maxLength && { maxLength }) });
    },
  ));

test('cosine weights are relu(q) relu(k) cos(pi (i - j) / 2M), from any position on', async () => {
  const random = randomFrom(5);
  const [t, d, m] = [40, 18, 64];
  const [q, k] = [normal(random, [1, t, 1, d]), normal(random, [1, t, 1, d])];
  for (const rt of runtimes) {
    for (const offset of [0, 24]) {
      const options = { maxLength: m, offset };
      const [fq, fk] = [
        (await mapped(rt, 'cosine', { x: q }, options)).o,
        (await mapped(rt, 'cosine', { x: k }, options)).o,
      ];
      const row = (x: NdArray, n: number, size: number) => ({
        shape: [size],
        data: Array.from({ length: size }, (_, c) => x.data[n * size + c]!),
      });
      for (let i = 0; i < t; i += 3) {
        for (let j = 0; j < t; j += 5) {
          const relu = (x: NdArray) => ({ ...x, data: Array.from(x.data, (value) => Math.max(value, 0)) });
          const plain = products(relu(row(q, i, d)), relu(row(k, j, d)))[0]!;
          const want = plain * Math.cos((Math.PI * (i - j)) / (2 * m));
          assertClose(products(row(fq, i, 2 * d), row(fk, j, 2 * d)), [want], `${rt.variant}: ${i}, ${j}`);
        }
      }
    }
  }
});

test('dpfp', () =>
  property(
    fc.record({ shape: shapes, nu: sometimes(fc.constantFrom(1, 2, 3, 9, 40)) }),
    30,
    async ({ shape: { seed, lead, d }, nu }) => {
      const x = normal(randomFrom(seed), [...lead, d]);
      await check('dpfp', reference.dpfp, { x }, nu ? { nu } : {});
    },
  ));

test('dpfp with -relu(x), as early versions of fla have it, is no kernel of the negative elements', async () => {
  /** [relu x, -relu x] in place of [relu x, relu -x]. */
  const faulty = ({ x }: { x: NdArray }, nu: number) => {
    const d = x.data.length;
    const r = Array.from({ length: 2 * d }, (_, j) => (j < d ? 1 : -1) * Math.max(x.data[j % d]!, 0));
    return Array.from({ length: nu }, (_, i) => r.map((value, j) => value * r.at((j - i - 1) % (2 * d))!)).flat();
  };
  const a = { shape: [4], data: Float32Array.of(1, -2, 0.5, -3) };
  const b = { shape: [4], data: Float32Array.of(1, -0.1, 0.5, -7) };
  assert.deepEqual(faulty({ x: a }, 3), faulty({ x: b }, 3), 'it does not see the negative elements');
  const lone = { shape: [2], data: Float32Array.of(2, 1) };
  assert.ok(Math.min(...faulty({ x: lone }, 3)) < 0, 'its features are not all positive');
  for (const rt of runtimes) {
    const [fa, fb] = [(await mapped(rt, 'dpfp', { x: a })).o, (await mapped(rt, 'dpfp', { x: b })).o];
    assert.notDeepEqual(Array.from(fa.data), Array.from(fb.data));
    assert.ok(Array.from((await mapped(rt, 'dpfp', { x: lone })).o.data).every((value) => value >= 0));
  }
});

const projections = fc.record({
  seed: fc.nat(),
  lead: fc.constantFrom([3], [2, 3], [2, 7, 3], [1, 65, 2], [5, 2, 1]),
  d: fc.constantFrom(1, 3, 16, 18, 64),
  f: fc.constantFrom(1, 5, 16, 40, 65),
  perHead: fc.boolean(),
  bias: fc.boolean(),
});

test('hedgehog and t2r, weights shared and of each head', () =>
  property(
    fc.record({ shape: projections, scale: sometimes(fc.constantFrom(2, 0)) }),
    40,
    async ({ shape: { seed, lead, d, f, perHead, bias }, scale }) => {
      const random = randomFrom(seed);
      const heads = perHead && lead.length > 0 ? [lead.at(-1)!] : [];
      const inputs = {
        x: normal(random, [...lead, d]),
        w: normal(random, [...heads, f, d], d ** -0.5),
        ...(bias && { bias: normal(random, [...heads, f]) }),
      };
      await check('hedgehog', reference.hedgehog, inputs, scale === undefined ? {} : { scale });
      await check('t2r', reference.t2r, inputs);
    },
  ));

test('packed weights and projections give the same features', async () => {
  const random = randomFrom(14);
  const [x, w, bias] = [normal(random, [2, 7, 3, 18]), normal(random, [40, 18]), normal(random, [40])];
  for (const rt of runtimes) {
    await rt.scope(async () => {
      const packed = (await packMatrix(rt.tensor(w.data, w.shape), { transposeB: true })) as unknown as Tensor;
      for (const [name, plain, ready] of [
        ['hedgehog', { x, w, bias }, { x, w: packed, bias }],
        ['t2r', { x, w }, { x, w: packed }],
        ['favor', { x, projection: w }, { x, projection: packed }],
      ] as [string, Inputs, Record<string, Sample | Tensor>][]) {
        assertSameBits((await mapped(rt, name, ready)).o, (await mapped(rt, name, plain)).o, `${rt.variant}: ${name}`);
      }
      const narrow = floats([4, 5], () => 1);
      await assert.rejects(async () => mapped(rt, 't2r', { x: narrow, w: packed }), /w is packed from \[18, 40\]/);
    });
  }
});

test('two threads give the same bits as one', async () => {
  const random = randomFrom(15);
  const x = normal(random, [1, 1500, 3, 32]);
  const projection = normal(random, [130, 32]);
  for (const two of await variants(2)) {
    await takeScratch(two);
    const one = runtimes.find((rt) => rt.variant === two.variant)!;
    for (const [name, inputs, options] of [
      ['softplus', { x: normal(random, [400_000]) }, {}],
      ['taylor2', { x }, {}],
      ['hedgehog', { x, w: projection }, {}],
      ['favor', { x, projection }, { stabilizer: 'global' }],
    ] as [string, Inputs, Options][]) {
      const steps = (rt: Runtime) =>
        rt.scope(() => {
          const tensors = Object.entries(inputs).map(([key, { data, shape }]) => [key, rt.tensor(data, shape)]);
          return explain(`features.${name}`, Object.fromEntries(tensors), options).steps;
        });
      assert.ok(
        steps(two).some(({ threads }) => threads === 2),
        `${name} is large enough for two threads`,
      );
      const [a, b] = [await mapped(one, name, inputs, options), await mapped(two, name, inputs, options)];
      assertSameBits(b.o, a.o, `${two.variant}: ${name}`);
    }
    two.dispose();
  }
});

test('hedgehog with the identity is the softmax of [x, -x], and survives large logits', async () => {
  const x = floats([2, 3], (n) => [1e30, 0, -1e30, 300, -300, 299][n]!);
  const w = floats([3, 3], (n) => (n % 4 === 0 ? 1 : 0));
  for (const rt of runtimes) {
    const { o } = await mapped(rt, 'hedgehog', { x, w });
    assert.deepEqual(Array.from(o.data).slice(0, 6), [0.5, 0, 0, 0, 0, 0.5]);
    const [a, b] = [1 / (2 + Math.exp(-1)), Math.exp(-1) / (2 + Math.exp(-1))];
    assertNear({ shape: [6], data: Array.from(o.data).slice(6) }, { shape: [6], data: [a, 0, b, 0, a, 0] }, 1e-7, 'o');
  }
});

test('favor: both kernels, every stabiliser', () =>
  property(
    fc.record({
      shape: projections,
      kernel: sometimes(fc.constant('relu')),
      stabilizer: fc.constantFrom(undefined, 'row', 'global', 0, 1.5),
      eps: sometimes(fc.constantFrom(0, 1e-6)),
    }),
    60,
    async ({ shape: { seed, lead, d, f, perHead }, kernel, stabilizer, eps }) => {
      const random = randomFrom(seed);
      const inputs = {
        x: normal(random, [...lead, d]),
        projection: normal(random, [...(perHead ? [lead.at(-1)!] : []), f, d]),
      };
      const options = {
        ...(kernel && { kernel }),
        ...(stabilizer !== undefined && (stabilizer !== 'global' || lead.length === 3) && { stabilizer }),
        ...(eps !== undefined && { eps }),
      };
      await check('favor', reference.favor, inputs, options);
    },
  ));

test('favor estimates the softmax kernel; its error falls with the number of features', async () => {
  const d = 16;
  const random = randomFrom(9);
  const [q, k] = [normal(random, [64, d], 0.4), normal(random, [64, d], 0.4)];
  const want = products(q, k).map((y) => Math.exp(y * d ** -0.5));
  for (const rt of runtimes) {
    const errors: number[] = [];
    for (const count of [16, 256, 4096]) {
      let error = 0;
      for (let seed = 0; seed < 4; seed++) {
        using projection = features.favorProjection(rt, count, d, { seed });
        const of = async (x: Sample) => (await mapped(rt, 'favor', { x, projection }, { stabilizer: 0, eps: 0 })).o;
        const got = products(await of(q), await of(k));
        error += got.reduce((sum, value, n) => sum + Math.abs(value / want[n]! - 1), 0) / got.length / 4;
      }
      errors.push(error);
    }
    const [few, some, many] = errors as [number, number, number];
    // the error of a mean of n samples falls with sqrt n: by 4 for each 16 times
    assert.ok(some < few / 2.5 && many < some / 2.5 && many < 0.05, `${rt.variant}: ${errors}`);
  }
});

test('favor with a constant stabiliser streams: features do not depend on other rows', async () => {
  const random = randomFrom(10);
  const x = normal(random, [1, 30, 2, 16]);
  const projection = normal(random, [40, 16]);
  for (const rt of runtimes) {
    const whole = (await mapped(rt, 'favor', { x, projection }, { stabilizer: 2 })).o;
    for (const t of [0, 7, 29]) {
      const row = floats([1, 1, 2, 16], (n) => x.data[t * 32 + n]!);
      const step = (await mapped(rt, 'favor', { x: row, projection }, { stabilizer: 2 })).o;
      const same = { shape: step.shape, data: Array.from(whole.data).slice(t * 80, t * 80 + 80) };
      assertNear(step, same, 1e-6, rt.variant);
    }
  }
});

test('favor projections: right angles, norms, seeds', () => {
  const rt = runtimes[0]!;
  const rows = (n: number, dim: number, options: Parameters<typeof features.favorProjection>[3]) => {
    using tensor = features.favorProjection(rt, n, dim, options);
    assert.deepEqual(tensor.shape, [n, dim]);
    const data = tensor.dataSync();
    return Array.from({ length: n }, (_, i) => Array.from(data.slice(i * dim, (i + 1) * dim)));
  };
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  for (const [n, dim] of [
    [16, 16],
    [40, 16],
    [7, 18],
    [3, 1],
    [130, 64],
  ] as const) {
    for (const scaling of ['chi', 'sqrt'] as const) {
      const block = rows(n, dim, { seed: 3, scaling });
      for (let i = 0; i < n; i++) {
        const norm = Math.sqrt(dot(block[i]!, block[i]!));
        if (scaling === 'sqrt') assert.ok(Math.abs(norm / Math.sqrt(dim) - 1) < 1e-6);
        for (let j = Math.floor(i / dim) * dim; j < i; j++) {
          const cosine = dot(block[i]!, block[j]!) / norm / Math.sqrt(dot(block[j]!, block[j]!));
          assert.ok(Math.abs(cosine) < 1e-6, `rows ${i} and ${j} of ${n} x ${dim}: ${cosine}`);
        }
      }
    }
  }
  // E |w|^2 = dim, and every element has variance 1
  for (const orthogonal of [true, false]) {
    const all = rows(2048, 16, { seed: 4, orthogonal });
    const mean = all.reduce((sum, row) => sum + dot(row, row), 0) / 2048;
    assert.ok(Math.abs(mean / 16 - 1) < 0.05, `mean square ${mean}`);
    const centre = Math.max(
      ...Array.from({ length: 16 }, (_, c) => Math.abs(all.reduce((s, row) => s + row[c]!, 0) / 2048)),
    );
    assert.ok(centre < 0.1, `mean ${centre}`);
  }
  assert.deepEqual(rows(20, 8, { seed: 5 }), rows(20, 8, { seed: 5 }));
  assert.notDeepEqual(rows(20, 8, { seed: 5 }), rows(20, 8, { seed: 6 }));
  assert.deepEqual(
    rows(1, 3, { seed: 1 })[0]!.map((value) => value.toFixed(5)),
    rows(1, 3, { seed: 1, orthogonal: true, scaling: 'chi' })[0]!.map((value) => value.toFixed(5)),
  );
});

test('views: [B,H,T,D] storage seen as [B,T,H,D], cut out of more', async () => {
  const random = randomFrom(36);
  const whole = normal(random, [2, 3, 9, 20]);
  const x = floats([2, 7, 3, 17], (n) => {
    const [c, h, t, b] = [n % 17, Math.floor(n / 17) % 3, Math.floor(n / 51) % 7, Math.floor(n / 357)];
    return whole.data[((b * 3 + h) * 9 + t + 2) * 20 + c + 2]!;
  });
  const w = normal(random, [5, 17]);
  const perHead = normal(random, [3, 5, 17]);
  const bias = normal(random, [3, 5]);
  const maps: [string, Inputs, Options][] = [
    ...Object.keys(POINTWISE).map((name): [string, Inputs, Options] => [name, {}, {}]),
    ...['softmax', 'l2norm', 'focused', 'taylor2', 'quadratic', 'qtVit', 'cosine', 'dpfp'].map(
      (name): [string, Inputs, Options] => [name, {}, {}],
    ),
    ['hedgehog', { w }, {}],
    ['t2r', { w: perHead, bias }, {}],
    ['t2r', { w: perHead }, {}],
    ['favor', { projection: w }, { stabilizer: 'global' }],
    ['favor', { projection: perHead }, {}],
  ];
  for (const rt of runtimes) {
    for (const [name, more, options] of maps) {
      const want = (await mapped(rt, name, { x, ...more }, options)).o;
      await rt.scope(async () => {
        const view = rt.tensor(whole.data, whole.shape).permute([0, 2, 1, 3]).slice(1, 2, 9).slice(3, 2, 19);
        const { o } = await mapped(rt, name, { x: view, ...more }, options);
        // the products of rows taken in other groups may fuse differently; everything else is the same to the bit
        if (more.w || more.projection) assertNear(o, want, 1e-6, `${rt.variant}: ${name}`);
        else assertSameBits(o, want, `${rt.variant}: ${name}`);
      });
    }
  }
});

test('no rows give no features', async () => {
  for (const rt of runtimes) {
    for (const name of Object.keys(POINTWISE)) {
      assert.deepEqual((await mapped(rt, name, { x: floats([2, 0, 3, 4], () => 0) })).o.shape, [2, 0, 3, 4]);
    }
    for (const [name, f] of Object.entries({ softmax: 4, l2norm: 4, focused: 4, taylor2: 15, cosine: 8, dpfp: 32 })) {
      const { o } = await mapped(rt, name, { x: floats([2, 0, 3, 4], () => 0) });
      assert.deepEqual(o.shape, [2, 0, 3, f]);
    }
    const w = floats([5, 4], () => 1);
    const none = { x: floats([2, 0, 3, 4], () => 0) };
    assert.deepEqual((await mapped(rt, 'hedgehog', { ...none, w })).o.shape, [2, 0, 3, 10]);
    assert.deepEqual(
      (await mapped(rt, 'favor', { ...none, projection: w }, { stabilizer: 'global' })).o.shape,
      [2, 0, 3, 5],
    );
  }
});

test('errors name the map and leave nothing behind', async () => {
  const rt = runtimes[0]!;
  const x = rt.zeros([2, 3, 4]);
  const w = rt.zeros([5, 4]);
  const heads = rt.zeros([2, 5, 4]);
  const scaled = rt.zeros([2, 3, 4, 4]).permute([0, 1, 3, 2]);
  const flat = rt.tensor(new Int32Array(4), [4], 'i32');
  const used = rt.memory().used;
  const wrong: [() => Promise<unknown>, string, RegExp][] = [
    [() => features.elu1(undefined as never), 'RuntimeMismatchError', /features\.elu1: no input is a tensor/],
    [() => features.relu(flat), 'DTypeError', /features\.relu: x is i32/],
    [() => features.silu(scaled), 'ShapeError', /features\.silu: x .* last axis/],
    [() => features.logSigmoid(x, { temperature: 0 }), 'OptionError', /temperature is 0/],
    [() => features.logSigmoid(x, { scale: 1 } as never), 'OptionError', /no option 'scale'/],
    [() => features.softmax(x, { scale: -1 }), 'OptionError', /scale is -1/],
    [() => features.l2norm(x, { eps: Number.NaN }), 'OptionError', /eps is NaN/],
    [() => features.focused(x, { power: 0 }), 'OptionError', /power is 0/],
    [() => features.taylor2(x, { layout: 'half' as never }), 'OptionError', /layout is 'half'/],
    [() => features.quadratic(rt.zeros([2, 0])), 'ShapeError', /D > 0/],
    [() => features.cosine(x), 'ShapeError', /expected \[B, T, H, D\]/],
    [() => features.dpfp(x, { nu: 1.5 }), 'OptionError', /nu is 1\.5/],
    [() => features.hedgehog({ x, w: heads }), 'ShapeError', /w has shape \[2, 5, 4\]/],
    [() => features.t2r({ x, w, bias: x }), 'ShapeError', /bias has shape/],
    [() => features.favor({ x, projection: rt.zeros([5, 3]) }), 'ShapeError', /projection has shape \[5, 3\]/],
    [() => features.favor({ x, projection: w }, { stabilizer: 'global' }), 'ShapeError', /\[B, T, H, D\]/],
    [
      () => features.favor({ x, projection: w }, { stabilizer: 'rows' as never }),
      'OptionError',
      /stabilizer is 'rows'/,
    ],
  ];
  for (const [action, name, message] of wrong) {
    await rt.scope(async () => {
      await assert.rejects(
        async () => action(),
        (error: Error) => error.name === name && message.test(error.message),
        `${message}`,
      );
    });
  }
  assert.throws(() => features.favorProjection(rt, 0, 4), /features is 0/);
  assert.throws(() => features.favorProjection(rt, 4, 4, { scaling: 'one' as never }), /scaling is 'one'/);
  assert.equal(rt.memory().used, used);
  for (const tensor of [x, w, heads, scaled, flat]) tensor.dispose();
});

test('the synchronous forms give the same, and every map is explained', async () => {
  const rt = runtimes[0]!;
  const sample = normal(randomFrom(12), [1, 5, 2, 6]);
  await rt.scope(async () => {
    const x = rt.tensor(sample.data, sample.shape);
    const w = rt.tensor(normal(randomFrom(13), [4, 6]).data, [4, 6]);
    for (const entry of OPS.filter(({ name }) => name.startsWith('features.'))) {
      const name = entry.name.slice('features.'.length);
      const inputs = Object.fromEntries(
        entry.inputs.filter((one) => !one.endsWith('?')).map((one) => [one, one === 'x' ? x : w]),
      );
      const later = await entry.run(inputs, {});
      const run = (features as unknown as Record<string, (x: unknown) => { o: Tensor }>)[`${name}Sync`]!;
      const now = run(entry.inputs.length === 1 ? x : inputs);
      assertSameBits(
        { shape: now.o.shape, data: now.o.dataSync() },
        { shape: later.o!.shape, data: later.o!.dataSync() },
        name,
      );
      assert.ok(explain(entry.name, inputs).steps.length > 0, name);
    }
  });
});
