import { gemmPack } from '../../gemm/pack';
import { GemmPackParams } from '../../params';
import { BF16, elementBytes, F16, F32, f32ToBf16, f32ToHalf } from '../../simd/storage';
import { atMemoryEnd } from '../memory-end';

const BATCH: i32 = 2;
const MOST_K: i32 = 13;
const MOST_N: i32 = 17;
const p = changetype<GemmPackParams>(heap.alloc(offsetof<GemmPackParams>()));
const bPack = heap.alloc(<usize>(BATCH * MOST_K * 24 + 1) * 4);
const scratch = heap.alloc(<usize>(8 * MOST_K + 1) * 4);

function at(base: usize, i: i32): usize {
  return base + ((<usize>i) << 2);
}

/** Element [product][i][j], a whole number that every type holds, never zero. */
function element(product: i32, i: i32, j: i32): f32 {
  const x = ((product * 89 + i * 31 + j * 7) % 127) - 63;
  return x == 0 ? 64 : <f32>x;
}

function storeElement(at: usize, type: i32, x: f32): void {
  if (type == F32) store<f32>(at, x);
  else if (type == F16) store<u16>(at, f32ToHalf(x));
  else store<u16>(at, f32ToBf16(x));
}

/** Packs a batch whose last element ends where the memory ends; counts wrong elements, padding and guards included. */
function mismatches(k: i32, n: i32, type: i32, transposed: i32, gap: i32, oneByOne: bool): i32 {
  const rows = transposed ? n : k;
  const columns = transposed ? k : n;
  const bytes = elementBytes(type);
  p.bStride = columns + gap;
  p.bStrideB = rows * p.bStride + gap;
  const size = <usize>(p.bStrideB + (rows - 1) * p.bStride + columns) * bytes;
  p.b = atMemoryEnd(size);
  memory.fill(p.b, 0xff, size);
  for (let product = 0; product < BATCH; ++product) {
    for (let i = 0; i < k; ++i) {
      for (let j = 0; j < n; ++j) {
        const offset = product * p.bStrideB + (transposed ? j * p.bStride + i : i * p.bStride + j);
        storeElement(p.b + <usize>offset * bytes, type, element(product, i, j));
      }
    }
  }
  p.bType = type;
  p.transposed = transposed;
  p.bPack = bPack;
  p.k = k;
  p.n = n;
  const panels = (n + 7) / 8;
  const packed = BATCH * panels * k * 8;
  memory.fill(bPack, 0xff, <usize>(packed + 1) * 4);
  memory.fill(scratch, 0xff, <usize>(8 * k + 1) * 4);
  const items = BATCH * panels;
  if (oneByOne) for (let item = items; item-- > 0;) gemmPack(changetype<usize>(p), item, item + 1, scratch);
  else gemmPack(changetype<usize>(p), 0, items, scratch);
  let wrong = 0;
  for (let item = 0; item < items; ++item) {
    for (let i = 0; i < k; ++i) {
      for (let c = 0; c < 8; ++c) {
        const j = (item % panels) * 8 + c;
        const expected: f32 = j < n ? element(item / panels, i, j) : 0;
        if (load<f32>(at(bPack, (item * k + i) * 8 + c)) != expected) wrong += 1;
      }
    }
  }
  if (load<u32>(at(bPack, packed)) != 0xffffffff || load<u32>(at(scratch, 8 * k)) != 0xffffffff) wrong += 1;
  return wrong;
}

function packsAll(type: i32): void {
  for (let k = 1; k <= MOST_K; ++k) {
    for (let n = 1; n <= MOST_N; ++n) {
      for (let layout = 0; layout < 4; ++layout) {
        const wrong = mismatches(k, n, type, layout & 1, layout & 2 ? 3 : 0, (k + n) % 2 == 0);
        if (wrong > 0) expect<i32>(wrong).toBe(0, `k ${k}, n ${n}, transposed ${layout & 1}, gap ${layout >> 1}`);
      }
    }
  }
}

describe('gemmPack', () => {
  it('packs f32 matrices of every odd size, as they lie and transposed', () => {
    packsAll(F32);
  });

  it('packs f16 matrices', () => {
    packsAll(F16);
  });

  it('packs bf16 matrices', () => {
    packsAll(BF16);
  });
});
