import { gemm } from '../../gemm/gemm';
import { gemmPack } from '../../gemm/pack';
import { MR, NR } from '../../gemm/panel';
import { GemmPackParams, GemmParams } from '../../params';
import { GELU_TANH, NONE, RELU, SILU } from '../../simd/activation';
import { F32 } from '../../simd/storage';
import { atMemoryEnd } from '../memory-end';

const GUARD: f32 = 1234;
const MOST: i32 = 65536;
const SCRATCH: usize = 65536;
const pack = changetype<GemmPackParams>(heap.alloc(offsetof<GemmPackParams>()));
const p = changetype<GemmParams>(heap.alloc(offsetof<GemmParams>()));
const a = heap.alloc(<usize>MOST * 4);
const b = heap.alloc(<usize>MOST * 4);
const bPack = heap.alloc(<usize>MOST * 4);
const o = heap.alloc(<usize>MOST * 4);
const bias = heap.alloc(1024);
const scratch = heap.alloc(SCRATCH);

/** Memory end to which an operand is put: 0 none, 1 a, 2 bPack. */
let edge: i32 = 0;
/** Elements between rows of a and o beyond their lengths. */
let gap: i32 = 0;
let batch: i32 = 1;
let oneB: bool = false;
let oneByOne: bool = false;
/** Divides every operand: 1 leaves whole numbers, whose sums are exact. */
let divisor: f32 = 1;

function at(base: usize, i: i32): usize {
  return base + ((<usize>i) << 2);
}

function value(i: i32): f32 {
  return <f32>(((i * 37 + (i >> 5)) % 19) - 9) / divisor;
}

function activated(x: f64, activation: i32): f64 {
  if (activation == RELU) return max(x, 0);
  if (activation == SILU) return x / (1 + NativeMath.exp(-x));
  if (activation == GELU_TANH) return 0.5 * x * (1 + NativeMath.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  return x;
}

/** Packs B and multiplies; the largest error relative to `unit` of the terms' sizes, infinite if a guard was touched. */
function error(m: i32, k: i32, n: i32, withBias: bool, activation: i32, unit: f64): f64 {
  const panels = (n + 7) / 8;
  pack.b = b;
  pack.bStride = n;
  pack.bStrideB = k * n;
  pack.bType = F32;
  pack.transposed = 0;
  pack.k = k;
  pack.n = n;
  const products = oneB ? 1 : batch;
  pack.bPack = edge == 2 ? atMemoryEnd(<usize>(products * panels * k * NR) * 4) : bPack;
  for (let i = 0; i < products * k * n; ++i) store<f32>(at(b, i), value(i * 5 + 3));
  gemmPack(changetype<usize>(pack), 0, products * panels, scratch);

  p.aStride = k + gap;
  p.aStrideB = m * p.aStride + gap;
  const sizeA = (batch - 1) * p.aStrideB + (m - 1) * p.aStride + k;
  p.a = edge == 1 ? atMemoryEnd(<usize>sizeA * 4) : a;
  for (let i = 0; i < sizeA; ++i) store<f32>(at(p.a, i), NaN);
  for (let product = 0; product < batch; ++product) {
    for (let r = 0; r < m; ++r) {
      for (let i = 0; i < k; ++i) {
        store<f32>(at(p.a, product * p.aStrideB + r * p.aStride + i), value((product * 71 + r) * 43 + i));
      }
    }
  }
  p.bPack = pack.bPack;
  p.bStrideB = oneB ? 0 : panels * k * NR;
  p.o = o;
  p.oStride = n + gap;
  p.oStrideB = m * p.oStride + gap;
  for (let i = 0; i <= batch * p.oStrideB; ++i) store<f32>(at(o, i), GUARD);
  p.bias = withBias ? bias : 0;
  for (let j = 0; j < n + 3; ++j) store<f32>(at(bias, j), j < n ? value(j * 11 + 2) : <f32>NaN);
  p.m = m;
  p.k = k;
  p.n = n;
  p.activation = activation;
  p.blockM = MR * 2;
  p.blockN = 16;

  const scratchEnd = ((<usize>(MR * k) * 4 + 15) & ~15) + <usize>(MR * NR) * 4;
  memory.fill(scratch, 0xff, scratchEnd + 16);
  const items = batch * ((m + p.blockM - 1) / p.blockM) * ((n + p.blockN - 1) / p.blockN);
  if (oneByOne) for (let item = items; item-- > 0;) gemm(changetype<usize>(p), item, item + 1, scratch);
  else gemm(changetype<usize>(p), 0, items, scratch);

  let worst: f64 = 0;
  if (load<u32>(scratch + scratchEnd) != 0xffffffff) return Infinity;
  for (let i = 0; i <= batch * p.oStrideB; ++i) {
    const product = i / p.oStrideB;
    const r = (i - product * p.oStrideB) / p.oStride;
    const j = (i - product * p.oStrideB) % p.oStride;
    const got = <f64>load<f32>(at(o, i));
    if (product >= batch || r >= m || j >= n) {
      if (got != GUARD) return Infinity;
      continue;
    }
    let sum: f64 = withBias ? value(j * 11 + 2) : 0;
    let size = NativeMath.abs(sum);
    for (let step = 0; step < k; ++step) {
      const x = <f64>value((product * 71 + r) * 43 + step);
      const y = <f64>value(((oneB ? 0 : product) * k * n + step * n + j) * 5 + 3);
      sum += x * y;
      size += NativeMath.abs(x * y);
    }
    const difference = NativeMath.abs(got - activated(sum, activation));
    if (!(difference == 0)) worst = isNaN(got) || unit == 0 ? Infinity : max(worst, difference / (size * unit));
  }
  return worst;
}

function plain(): void {
  edge = 0;
  gap = 0;
  batch = 1;
  oneB = false;
  oneByOne = false;
  divisor = 1;
}

const DEPTHS: StaticArray<i32> = [1, 2, 3, 4, 5, 7, 8, 9, 33];

describe('gemm', () => {
  beforeEach(plain);

  it('is exact on whole numbers for every odd size, with bias and relu or without', () => {
    for (let m = 1; m <= 13; ++m) {
      for (let n = 1; n <= 17; ++n) {
        for (let d = 0; d < DEPTHS.length; ++d) {
          const style = m + n + d;
          gap = style % 3;
          oneByOne = style % 2 == 0;
          const worst = error(m, DEPTHS[d], n, style % 5 < 3, style % 7 < 3 ? RELU : NONE, 0);
          if (worst > 0) expect<f64>(worst).toBe(0, `m ${m}, k ${DEPTHS[d]}, n ${n}, style ${style}`);
        }
      }
    }
  });

  it('spans several blocks of rows and columns, in any order of items', () => {
    for (let m = MR * 4 - 1; m <= MR * 4 + 2; ++m) {
      for (let n = 31; n <= 41; n += 2) {
        oneByOne = !oneByOne;
        expect<f64>(error(m, 6, n, false, NONE, 0)).toBe(0, `m ${m}, n ${n}`);
        expect<f64>(error(m, 6, n, true, RELU, 0)).toBe(0, `m ${m}, n ${n} with bias and relu`);
      }
    }
  });

  it('multiplies a batch, each product with its own matrix or all with one', () => {
    batch = 3;
    for (let m = 1; m <= 7; ++m) {
      for (let n = 7; n <= 19; n += 3) {
        for (let style = 0; style < 8; ++style) {
          oneB = (style & 1) != 0;
          gap = style & 2;
          oneByOne = (style & 4) != 0;
          expect<f64>(error(m, 5, n, true, NONE, 0)).toBe(0, `m ${m}, n ${n}, style ${style}`);
        }
      }
    }
  });

  it('reads nothing past the end of a and of bPack', () => {
    for (edge = 1; edge <= 2; ++edge) {
      for (let m = 1; m <= 13; ++m) {
        for (let k = 1; k <= 9; ++k) {
          gap = k & 1;
          expect<f64>(error(m, k, 11, false, NONE, 0)).toBe(0, `m ${m}, k ${k}, edge ${edge}`);
        }
      }
    }
  });

  it('gives bias alone for k = 0', () => {
    expect<f64>(error(5, 0, 11, true, NONE, 0)).toBe(0);
    expect<f64>(error(1, 0, 3, false, NONE, 0)).toBe(0);
  });

  it('applies silu and gelu to what it stores', () => {
    divisor = 7;
    for (let m = 1; m <= 7; ++m) {
      for (let n = 5; n <= 17; n += 3) {
        // k + 1 roundings of half a unit, and the activation's own few
        expect<f64>(error(m, 9, n, true, SILU, 16 * 5.960464477539063e-8)).toBeLessThanOrEqual(
          1,
          `silu, m ${m}, n ${n}`,
        );
        expect<f64>(error(m, 9, n, true, GELU_TANH, 16 * 5.960464477539063e-8)).toBeLessThanOrEqual(
          1,
          `gelu, m ${m}, n ${n}`,
        );
      }
    }
  });

  it('lets a NaN reach its row and nothing else', () => {
    expect<f64>(error(MR + 2, 5, 11, true, RELU, 0)).toBe(0);
    store<f32>(at(p.a, (MR + 1) * p.aStride + 4), NaN);
    gemm(changetype<usize>(p), 0, 1, scratch);
    let wrong = 0;
    for (let r = 0; r < p.m; ++r) {
      for (let j = 0; j < p.n; ++j) if (isNaN(load<f32>(at(o, r * p.oStride + j))) != (r == MR + 1)) wrong += 1;
    }
    expect<i32>(wrong).toBe(0);
  });
});
