import { after, test } from 'node:test';
import { blend } from '../../src/engines/blend.ts';
import { copyIntegers, copyRows, storeRows } from '../../src/engines/copy.ts';
import { type ElementOperation, type Expression, evaluate } from '../../src/engines/expression.ts';
import { rotate } from '../../src/engines/rotary.ts';
import { combineRows, gatherRows } from '../../src/engines/routing.ts';
import { expandFactors } from '../../src/engines/tensor-product.ts';
import { scatterTokens, tokenOrder } from '../../src/engines/token-order.ts';
import { add, layerNorm, mul, type Runtime, rmsNorm, type Tensor } from '../../src/index.ts';
import { type Builder, run } from '../../src/runtime/program.ts';
import { type DType, sizeOf } from '../../src/tensor.ts';
import { randomFrom } from '../samples.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

/** A tensor of numbers about as large as `scale`. */
function numbers(rt: Runtime, shape: readonly number[], dtype: DType = 'f32', seed = 1, scale = 1): Tensor {
  const next = randomFrom(seed);
  return rt.tensor(
    Float32Array.from({ length: sizeOf(shape) }, () => (next() * 2 - 1) * scale),
    shape,
    dtype,
  );
}

/** x with its second and third axis swapped. */
function swapped(x: Tensor): Tensor {
  const [b, h, t, d] = x.shape as [number, number, number, number];
  const [sb, sh, st, sd] = x.strides as [number, number, number, number];
  return x.restride([b, t, h, d], [sb, st, sh, sd]);
}

/** A program with outputs of its own. */
function program<R extends object>(inputs: Readonly<Record<string, Tensor>>, lay: (b: Builder) => R): Promise<R> {
  return run('test', inputs, lay);
}

/** Shapes [B, T, H, D], with lengths that are no multiples of anything. */
const SHAPES = [
  [2, 5, 3, 8],
  [1, 65, 2, 7],
  [2, 1, 1, 3],
  [1, 2, 5, 1],
] as const;

test('copies of any storage, of views, and into views', async () => {
  for (const shape of SHAPES) {
    const [B, T, H, D] = shape;
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      await sameOnBoth(
        (rt) => ({ x: numbers(rt, [B, H, T, D], dtype), o: rt.zeros([B, T, H, D + 4]) }),
        ({ x, o }) =>
          program({ x }, (b) => {
            copyRows(b, swapped(x), o.slice(3, 1, D + 1));
            return { o };
          }),
        0,
      );
    }
  }
});

test('rows narrowed to 16 bits: dense, in whole words, and between what must stay', async () => {
  const numbersOf = (n: number) => {
    const next = randomFrom(n);
    const special = [0, -0, 65504, 65519.99, 65520, 1e9, -1e9, 2 ** -24, 2 ** -25, 1.5 * 2 ** -24, 2 ** -14, 1e-30];
    return Float32Array.from({ length: n }, (_, i) => special[i] ?? (next() - 0.5) * 2 ** (30 * next() - 20));
  };
  for (const shape of SHAPES) {
    const [B, T, H, D] = shape;
    for (const dtype of ['f16', 'bf16'] as const) {
      for (const [before, behind] of [
        [0, 0],
        [2, 2],
        [1, 0],
        [0, 3],
      ] as const) {
        await sameOnBoth(
          (rt) => ({
            x: rt.tensor(numbersOf(B * T * H * D), [B, T, H, D]),
            o: numbers(rt, [B, T, H, D + before + behind], dtype),
          }),
          ({ x, o }) =>
            program({ x }, (b) => {
              storeRows(b, x, o.slice(3, before, before + D));
              return { o };
            }),
          0,
        );
      }
      await sameOnBoth(
        (rt) => ({ x: numbers(rt, [B, H, T, D], dtype), o: numbers(rt, [B, T + 1, H, D], dtype, 2) }),
        ({ x, o }) =>
          program({ x }, (b) => {
            storeRows(b, swapped(x), o.slice(1, 1, T + 1));
            return { o };
          }),
        0,
      );
    }
  }
  await sameOnBoth(
    (rt) => ({ x: rt.tensor(Int32Array.of(1, 2, -3, 4, 5, 6), [1, 2, 3], 'i32'), o: rt.zeros([1, 2, 5], 'i32') }),
    ({ x, o }) =>
      program({ x }, (b) => {
        copyIntegers(b, x, o.slice(2, 1, 4));
        return { o };
      }),
    0,
  );
});

test('sums and products with what repeats', async () => {
  for (const n of [1, 3, 8, 130]) {
    await sameOnBoth(
      (rt) => ({ a: numbers(rt, [2, 3, n]), b: numbers(rt, [3, n], 'f32', 2) }),
      async ({ a, b }) => ({ sum: (await add({ a, b })).o, product: (await mul({ a, b })).o }),
      1e-6,
    );
  }
});

test('branches by their gates', async () => {
  for (const [B, T, H, D] of SHAPES) {
    await sameOnBoth(
      (rt) => ({
        x: numbers(rt, [B, 3, H, D]),
        y: numbers(rt, [B, T, H, D], 'f32', 2),
        gate: numbers(rt, [B, T, H], 'f32', 3),
        wide: numbers(rt, [B, T, H, D], 'f32', 4),
        row: rt.tensor(
          Int32Array.from({ length: T }, (_, t) => (7 * t) % 3),
          [T],
        ),
      }),
      ({ x, y, gate, wide, row }) =>
        program({ x }, (b) => {
          const o = b.output([B, T, H, D]);
          blend(b, x, o, { gate, row });
          blend(b, y, o, { gate: wide, add: true });
          blend(b, y, o, { add: true });
          blend(b, o, o, { gate });
          return { o };
        }),
      1e-6,
    );
  }
});

test('rows gathered, combined and put back', async () => {
  for (const [B, T, H, D] of SHAPES) {
    for (const dtype of ['f32', 'bf16'] as const) {
      const count = 2 * T;
      const rows = Int32Array.from({ length: 2 * count }, (_, i) => (i % 2 ? (i >> 1) % 2 : (5 * i) % (B * T)));
      const order = Array.from({ length: B * T }, (_, i) => (B * T - 1 - i + 3) % (B * T)).filter((i) => i % 4 !== 1);
      const offsets = Int32Array.from({ length: B * T + 1 }, (_, t) => Math.min(count, (t >> 1) * 2));
      const entries = new Int32Array(2 * count);
      for (let e = 0; e < count; ++e) {
        entries[2 * e] = (3 * e) % count;
        new Float32Array(entries.buffer)[2 * e + 1] = 0.25 * e - 1;
      }
      await sameOnBoth(
        (rt) => ({ x: numbers(rt, [B, T, 2, H, D], dtype), o: numbers(rt, [B, T, H, D], 'f32', 2) }),
        ({ x, o }) =>
          program({ x }, (b) => {
            const gathered = gatherRows(b, x, true, b.table(rows), count);
            const sums = b.output([B, T, H, D]);
            combineRows(b, gathered, { offsets, entries }, sums);
            const put = tokenOrder(b, order);
            scatterTokens(b, gatherRows(b, sums, false, put.table, put.count), put, o);
            return { sums, o };
          }),
        1e-6,
      );
    }
  }
});

test('rotary embeddings: halves and pairs, parts of heads, positions, in place', async () => {
  for (const [B, T, H, D] of [
    [2, 5, 3, 8],
    [1, 3, 2, 18],
    [2, 65, 1, 16],
  ] as const) {
    for (const rotated of [D, (D >> 2) * 2]) {
      for (const interleaved of [false, true]) {
        await sameOnBoth(
          (rt) => ({
            x: swapped(numbers(rt, [B, H, T, D])),
            own: numbers(rt, [B, T, H, D], 'f32', 5),
            cos: numbers(rt, [1, 100, rotated / 2], 'f32', 2),
            sin: numbers(rt, [1, 100, rotated / 2], 'f32', 3),
            positions: rt.tensor(
              Int32Array.from({ length: B * T }, (_, i) => (i * 13) % 100),
              [B, T],
            ),
          }),
          ({ x, own, cos, sin, positions }) =>
            program({ x }, (b) => {
              const o = b.output([B, T, H, D]);
              rotate(b, { x, o, cos, sin, positions, rotated, interleaved });
              rotate(b, { x: own, o: own, cos, sin, rotated, interleaved });
              return { o, own };
            }),
          1e-6,
        );
      }
    }
  }
});

test('rows of heads from their factors', async () => {
  for (const [B, T, H, D] of SHAPES) {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      await sameOnBoth(
        (rt) => ({ a: numbers(rt, [B, T, 3, H], dtype), b: numbers(rt, [B, T, 3, D], dtype, 2) }),
        ({ a, b }) =>
          program({ a, b }, (builder) => {
            const o = builder.output([B, T, H, D]);
            expandFactors(builder, { a, b }, o);
            return { o };
          }),
        1e-6,
      );
    }
  }
});

test('norms of short and long rows', async () => {
  for (const n of [1, 3, 8, 64, 513, 1100, 5000]) {
    await sameOnBoth(
      (rt) => ({
        x: numbers(rt, [3, 5, n]),
        weight: numbers(rt, [n], 'f32', 2),
        bias: numbers(rt, [n], 'f32', 3),
      }),
      async ({ x, weight, bias }) => ({
        rms: (await rmsNorm({ x, weight })).o,
        bare: (await layerNorm({ x })).o,
        layer: (await layerNorm({ x, weight, bias })).o,
      }),
      1e-5,
    );
  }
});

test('expressions: every operation, tensors that repeat, masks of -Infinity', async () => {
  const apply = (operation: ElementOperation, ...operands: Expression[]): Expression => ({
    kind: 'apply',
    operation,
    operands,
  });
  const input: Expression = { kind: 'input' };
  const constant = (value: number): Expression => ({ kind: 'constant', value });
  const unary = ['neg', 'abs', 'not', 'exp', 'tanh', 'sigmoid', 'relu', 'floor', 'ceil', 'round', 'trunc'] as const;
  const binary = ['add', 'sub', 'mul', 'div', 'min', 'max'] as const;
  const compared = ['greater', 'greaterOrEqual', 'less', 'lessOrEqual', 'equal'] as const;
  for (const [B, H, T, n] of SHAPES) {
    await sameOnBoth(
      (rt) => ({
        x: numbers(rt, [B, H, T, n], 'f32', 1, 5),
        map: numbers(rt, [B, 1, T, n], 'f32', 2),
        row: numbers(rt, [1, H, 1, n], 'f32', 3),
        each: numbers(rt, [1, 1, T, 1], 'f32', 4),
      }),
      ({ x, map, row, each }) =>
        program({ x }, (b) => {
          const tensor = (given: Tensor): Expression => ({ kind: 'tensor', tensor: given });
          const y = apply('mul', apply('add', tensor(map), tensor(row)), tensor(each));
          const results = [
            ...unary.map((operation) => apply(operation, input)),
            ...binary.map((operation) => apply(operation, input, y)),
            ...compared.map((operation) => apply(operation, apply('round', input), apply('round', y))),
            apply('exp', apply('mul', input, constant(40))),
            apply('tanh', apply('mul', input, constant(1e6))),
            apply('log', apply('abs', input)),
            apply('log', apply('sub', input, input)),
            apply('sqrt', apply('abs', y)),
            apply('where', apply('greater', input, y), input, constant(Number.NEGATIVE_INFINITY)),
            unary.reduce<Expression>((sum, operation) => apply('add', sum, apply(operation, y)), input),
          ];
          return Object.fromEntries(
            results.map((expression, i) => {
              const o = b.output([B, H, T, n]);
              evaluate(b, expression, o, x);
              return [`${i}`, o];
            }),
          );
        }),
      1e-5,
    );
  }
});
