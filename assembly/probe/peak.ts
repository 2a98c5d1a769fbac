import { ProbeParams } from '../params';
import { EXP2_1, ONE } from '../simd/constants';
import { fma } from '../simd/fma';

/**
 * Twelve independent chains of multiply-adds: the most that one thread can do. 96 flops per step.
 *
 * Item: one repetition of `steps` steps.
 */
export function probeFma(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ProbeParams>(params);
  const x = v128.load(ONE);
  const y = v128.load(EXP2_1);
  let c0 = x;
  let c1 = x;
  let c2 = x;
  let c3 = x;
  let c4 = x;
  let c5 = x;
  let c6 = x;
  let c7 = x;
  let c8 = x;
  let c9 = x;
  let c10 = x;
  let c11 = x;
  for (let item = begin; item < end; ++item) {
    for (let i = p.steps; i > 0; --i) {
      c0 = fma(c0, y, x);
      c1 = fma(c1, y, x);
      c2 = fma(c2, y, x);
      c3 = fma(c3, y, x);
      c4 = fma(c4, y, x);
      c5 = fma(c5, y, x);
      c6 = fma(c6, y, x);
      c7 = fma(c7, y, x);
      c8 = fma(c8, y, x);
      c9 = fma(c9, y, x);
      c10 = fma(c10, y, x);
      c11 = fma(c11, y, x);
    }
  }
  c0 = f32x4.add(f32x4.add(c0, c1), f32x4.add(c2, c3));
  c4 = f32x4.add(f32x4.add(c4, c5), f32x4.add(c6, c7));
  c8 = f32x4.add(f32x4.add(c8, c9), f32x4.add(c10, c11));
  v128.store(scratch, f32x4.add(f32x4.add(c0, c4), c8));
}

/**
 * Reads a range of memory with eight independent sums.
 *
 * Item: 4096 bytes from `address`.
 */
export function probeRead(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ProbeParams>(params);
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let s4 = s0;
  let s5 = s0;
  let s6 = s0;
  let s7 = s0;
  let at = p.address + ((<usize>begin) << 12);
  for (const stop = p.address + ((<usize>end) << 12); at < stop; at += 128) {
    s0 = v128.xor(s0, v128.load(at));
    s1 = v128.xor(s1, v128.load(at, 16));
    s2 = v128.xor(s2, v128.load(at, 32));
    s3 = v128.xor(s3, v128.load(at, 48));
    s4 = v128.xor(s4, v128.load(at, 64));
    s5 = v128.xor(s5, v128.load(at, 80));
    s6 = v128.xor(s6, v128.load(at, 96));
    s7 = v128.xor(s7, v128.load(at, 112));
  }
  s0 = v128.xor(v128.xor(s0, s1), v128.xor(s2, s3));
  s4 = v128.xor(v128.xor(s4, s5), v128.xor(s6, s7));
  v128.store(scratch, v128.xor(s0, s4));
}

/** Traps, so that the host's handling of a trap can be tested. Item: one trap. */
export function probeTrap(_params: usize, _begin: i32, _end: i32, _scratch: usize): void {
  unreachable();
}
