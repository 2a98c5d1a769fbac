import { BF16, elementBytes, F16, F32, f32ToBf16, f32ToHalf, halfToF32, I8, widenRow } from '../../simd/storage';
import { atMemoryEnd } from '../memory-end';

const MINUS: u32 = 0x80000000;
const row = heap.alloc(64);
const wide = heap.alloc(64);

/** A half's value by IEEE 754-2019, 3.4: sign, 5 bits of exponent, 10 of fraction. */
function halfValue(h: u32): f64 {
  const exponent = (<i32>(h >> 10)) & 31;
  const fraction = <f64>(h & 0x3ff);
  const sign: f64 = h & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * Infinity : NaN;
  if (exponent == 0) return sign * fraction * NativeMath.pow(2, -24);
  return sign * (1 + fraction / 1024) * NativeMath.pow(2, <f64>(exponent - 15));
}

function bf16Value(b: u32): f32 {
  return reinterpret<f32>(b << 16);
}

function toF32(h: u32): f32 {
  return f32x4.extract_lane(halfToF32(i32x4.splat(<i32>h)), 0);
}

/** Same value and sign, or both NaN. */
function same(a: f32, b: f32): bool {
  return reinterpret<u32>(a) == reinterpret<u32>(b) || (isNaN(a) && isNaN(b));
}

function above(x: f32): f32 {
  return reinterpret<f32>(reinterpret<u32>(x) + 1);
}

function below(x: f32): f32 {
  return reinterpret<f32>(reinterpret<u32>(x) - 1);
}

/** Element i of a row of small values that every type holds exactly. */
function element(i: i32): f32 {
  return <f32>(((i * 7) % 23) - 11);
}

function storeElement(at: usize, type: i32, x: f32): void {
  if (type == F32) store<f32>(at, x);
  else if (type == F16) store<u16>(at, f32ToHalf(x));
  else if (type == BF16) store<u16>(at, f32ToBf16(x));
  else store<i8>(at, <i8>x);
}

describe('halfToF32', () => {
  it('gives the value of each of the 65536 halves', () => {
    let wrong = 0;
    let first: u32 = 0;
    for (let h: u32 = 0; h < 65536; ++h) {
      if (!same(toF32(h), <f32>halfValue(h))) {
        if (wrong == 0) first = h;
        wrong += 1;
      }
    }
    expect<i32>(wrong).toBe(0, `first at ${first}`);
  });

  it('keeps sign and payload of NaN', () => {
    let wrong = 0;
    for (let h: u32 = 0x7c01; h < 0x8000; ++h) {
      const x = halfToF32(i32x4(<i32>h, <i32>(h | 0x8000), 0, 0));
      const bits: u32 = 0x7f800000 | ((h & 0x3ff) << 13);
      if (<u32>i32x4.extract_lane(x, 0) != bits || <u32>i32x4.extract_lane(x, 1) != (bits | MINUS)) wrong += 1;
    }
    expect<i32>(wrong).toBe(0);
  });

  it('treats its lanes apart', () => {
    const x = halfToF32(i32x4(0x0001, 0x7c00, 0xbc00, 0xfbff));
    expect<f32>(f32x4.extract_lane(x, 0)).toBe(5.960464477539063e-8);
    expect<f32>(f32x4.extract_lane(x, 1)).toBe(Infinity);
    expect<f32>(f32x4.extract_lane(x, 2)).toBe(-1);
    expect<f32>(f32x4.extract_lane(x, 3)).toBe(-65504);
  });
});

describe('f32ToHalf', () => {
  it('gives each finite half back, and rounds ties between neighbours to even', () => {
    let wrong = 0;
    let first: u32 = 0;
    for (let h: u32 = 0; h < 0x7c00; ++h) {
      const x = <f32>halfValue(h);
      // what follows the largest half is the power of two that it would be, were there one
      const next = h == 0x7bff ? 65536 : halfValue(h + 1);
      const tie = <f32>((<f64>x + next) / 2);
      const good =
        f32ToHalf(x) == h &&
        f32ToHalf(-x) == (h | 0x8000) &&
        f32ToHalf(below(tie)) == h &&
        f32ToHalf(tie) == h + (h & 1) &&
        f32ToHalf(-tie) == ((h + (h & 1)) | 0x8000) &&
        f32ToHalf(above(tie)) == h + 1;
      if (!good) {
        if (wrong == 0) first = h;
        wrong += 1;
      }
    }
    expect<i32>(wrong).toBe(0, `first at ${first}`);
  });

  it('overflows to infinity from 65520 on', () => {
    expect<u16>(f32ToHalf(65504)).toBe(0x7bff);
    expect<u16>(f32ToHalf(65519.99609375)).toBe(0x7bff);
    expect<u16>(f32ToHalf(65520)).toBe(0x7c00);
    expect<u16>(f32ToHalf(-65520)).toBe(0xfc00);
    expect<u16>(f32ToHalf(3.4028234663852886e38)).toBe(0x7c00);
    expect<u16>(f32ToHalf(Infinity)).toBe(0x7c00);
    expect<u16>(f32ToHalf(-Infinity)).toBe(0xfc00);
  });

  it('underflows to a zero of the same sign', () => {
    expect<u16>(f32ToHalf(1e-45)).toBe(0);
    expect<u16>(f32ToHalf(-1e-45)).toBe(0x8000);
    expect<u16>(f32ToHalf(-0)).toBe(0x8000);
    expect<u16>(f32ToHalf(2.9802322387695312e-8)).toBe(0, 'half the smallest subnormal is a tie');
    expect<u16>(f32ToHalf(above(2.9802322387695312e-8))).toBe(1);
  });

  it('keeps NaN', () => {
    expect<bool>(isNaN(toF32(f32ToHalf(NaN)))).toBe(true);
    for (let bit: u32 = 1; bit < 0x00800000; bit <<= 1) {
      const narrow = f32ToHalf(reinterpret<f32>(0x7f800000 | bit));
      expect<bool>(isNaN(toF32(narrow))).toBe(true, `payload ${bit}`);
    }
  });
});

describe('f32ToBf16', () => {
  it('gives each finite bfloat16 back, and rounds ties between neighbours to even', () => {
    let wrong = 0;
    let first: u32 = 0;
    for (let b: u32 = 0; b < 0x7f80; ++b) {
      const x = bf16Value(b);
      const tie = reinterpret<f32>((b << 16) | 0x8000);
      const good =
        f32ToBf16(x) == b &&
        f32ToBf16(-x) == (b | 0x8000) &&
        f32ToBf16(below(tie)) == b &&
        f32ToBf16(tie) == b + (b & 1) &&
        f32ToBf16(-tie) == ((b + (b & 1)) | 0x8000) &&
        f32ToBf16(above(tie)) == b + 1;
      if (!good) {
        if (wrong == 0) first = b;
        wrong += 1;
      }
    }
    expect<i32>(wrong).toBe(0, `first at ${first}`);
  });

  it('overflows to infinity', () => {
    expect<u16>(f32ToBf16(3.4028234663852886e38)).toBe(0x7f80);
    expect<u16>(f32ToBf16(-3.4028234663852886e38)).toBe(0xff80);
    expect<u16>(f32ToBf16(Infinity)).toBe(0x7f80);
    expect<u16>(f32ToBf16(-Infinity)).toBe(0xff80);
  });

  it('keeps NaN, whose payload may lie below what is kept', () => {
    for (let bit: u32 = 1; bit < 0x00800000; bit <<= 1) {
      expect<bool>(isNaN(bf16Value(f32ToBf16(reinterpret<f32>(0x7f800000 | bit))))).toBe(true, `payload ${bit}`);
      expect<bool>(isNaN(bf16Value(f32ToBf16(reinterpret<f32>(0xff800000 | bit))))).toBe(true, `payload -${bit}`);
    }
    expect<bool>(isNaN(bf16Value(f32ToBf16(reinterpret<f32>(0x7fffffff))))).toBe(true);
    expect<bool>(isNaN(bf16Value(f32ToBf16(reinterpret<f32>(0xffffffff))))).toBe(true);
  });
});

/** What `bits` is widened to, among eleven elements: within the first eight or behind them, where the tail is. */
function widened(bits: u32, type: i32, tail: bool, neighbour: u32, scale: f32): f32 {
  for (let i = 0; i < 11; ++i) store<u16>(row + ((<usize>i) << 1), neighbour);
  const i: usize = tail ? 9 : 3;
  store<u16>(row + (i << 1), bits);
  widenRow(row, type, wide, 11, scale);
  return load<f32>(wide + (i << 2));
}

describe('widenRow', () => {
  it('gives the value of each of the 65536 halves, in body and tail, beside a finite value and beside infinity', () => {
    let wrong = 0;
    let first: u32 = 0;
    for (let h: u32 = 0; h < 65536; ++h) {
      const exact = <f32>halfValue(h);
      const good =
        same(widened(h, F16, false, 0x3c00, 1), exact) &&
        same(widened(h, F16, false, 0x7c00, 1), exact) &&
        same(widened(h, F16, true, 0x3c00, 1), exact);
      if (!good) {
        if (wrong == 0) first = h;
        wrong += 1;
      }
    }
    expect<i32>(wrong).toBe(0, `first at ${first}`);
  });

  it('gives the value of each of the 65536 bfloat16', () => {
    let wrong = 0;
    for (let b: u32 = 0; b < 65536; ++b) {
      if (!same(widened(b, BF16, false, 0x3f80, 1), bf16Value(b))) wrong += 1;
      if (!same(widened(b, BF16, true, 0x3f80, 1), bf16Value(b))) wrong += 1;
    }
    expect<i32>(wrong).toBe(0);
  });

  it('rounds once whatever the scale', () => {
    const scales: StaticArray<f32> = [-1, 0, 0.08838834764, 3, 1e-30, 1e-40, 65535, 65536, 1e6, 1e30];
    for (let i = 0; i < scales.length; ++i) {
      let wrong = 0;
      for (let h: u32 = 0; h < 65536; h += 7) {
        const exact = <f32>halfValue(h) * scales[i];
        if (!same(widened(h, F16, false, 0x3c00, scales[i]), exact)) wrong += 1;
        if (!same(widened(h, F16, false, 0x7c00, scales[i]), exact)) wrong += 1;
        if (!same(widened(h, F16, true, 0x3c00, scales[i]), exact)) wrong += 1;
        if (!same(widened(h, BF16, false, 0x3f80, scales[i]), bf16Value(h) * scales[i])) wrong += 1;
      }
      expect<i32>(wrong).toBe(0, `scale ${scales[i]}`);
    }
  });

  it('reads every signed byte, in body and tail', () => {
    let wrong = 0;
    for (let i = -128; i < 128; ++i) {
      memory.fill(row, 0x80, 7);
      store<i8>(row + 2, <i8>i);
      store<i8>(row + 5, <i8>i);
      widenRow(row, I8, wide, 7, 0.25);
      for (let j = 0; j < 7; ++j) {
        const exact: f32 = j == 2 || j == 5 ? <f32>i : -128;
        if (load<f32>(wide + ((<usize>j) << 2)) != exact * 0.25) wrong += 1;
      }
    }
    expect<i32>(wrong).toBe(0);
  });

  it('keeps the bits of f32 at scale 1', () => {
    const bits: StaticArray<u32> = [0x7fc00123, 0x80000000, 1, 0xff800000, 0x7fc00123, 0x80000000, 1];
    widenRow(changetype<usize>(bits), F32, wide, 7, 1);
    for (let i = 0; i < 7; ++i) expect<u32>(load<u32>(wide + ((<usize>i) << 2))).toBe(bits[i], `element ${i}`);
  });

  it('widens rows of 0 to 21 elements of each type, from and to odd addresses, and touches nothing beside them', () => {
    const dst = heap.alloc(128) + 1;
    for (let type = F32; type <= I8; ++type) {
      for (let n = 0; n <= 21; ++n) {
        // the row ends where the memory ends, so that a read past it traps
        const src = atMemoryEnd(<usize>n * elementBytes(type));
        for (let i = 0; i < n; ++i) storeElement(src + <usize>i * elementBytes(type), type, element(i));
        memory.fill(dst, 0xff, 96);
        widenRow(src, type, dst + 4, n, 0.5);
        let wrong = 0;
        for (let i = 0; i < n; ++i) {
          if (load<f32>(dst + 4 + ((<usize>i) << 2)) != element(i) * 0.5) wrong += 1;
        }
        if (load<u32>(dst) != 0xffffffff || load<u32>(dst + 4 + ((<usize>n) << 2)) != 0xffffffff) wrong += 1;
        expect<i32>(wrong).toBe(0, `type ${type}, ${n} elements`);

        memory.copy(src - 1, src, <usize>n * elementBytes(type));
        widenRow(src - 1, type, dst + 4, n, 1);
        for (let i = 0; i < n; ++i) {
          if (load<f32>(dst + 4 + ((<usize>i) << 2)) != element(i)) wrong += 1;
        }
        expect<i32>(wrong).toBe(0, `type ${type}, ${n} elements at an odd address`);
      }
    }
    heap.free(dst - 1);
  });
});

describe('elementBytes', () => {
  it('knows every type', () => {
    expect<usize>(elementBytes(F32)).toBe(4);
    expect<usize>(elementBytes(F16)).toBe(2);
    expect<usize>(elementBytes(BF16)).toBe(2);
    expect<usize>(elementBytes(I8)).toBe(1);
  });
});
