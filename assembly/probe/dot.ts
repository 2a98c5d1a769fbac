/**
 * out i32 [1] = the relaxed dot product of four times -128 with four bytes of 255, which tells how the device makes it:
 *
 *   -65536    two sums of pairs in 16 bits, each cut at -32768: several instructions (x86 without VNNI)
 *   -130560   one sum of four products, bytes without sign: one instruction (x86 with VNNI)
 *   512       bytes with sign: one instruction (Arm)
 *
 * 0 in builds without relaxed SIMD. Item: the whole. Scratch: 32 bytes, out is their start.
 */
export function probeDot(params: usize, begin: i32, end: i32, scratch: usize): void {
  // from memory: the compiler folds no relaxed operation of constants
  memory.fill(scratch, 0x80, 16);
  memory.fill(scratch + 16, 0xff, 16);
  let sums = i32x4.splat(0);
  if (ASC_FEATURE_RELAXED_SIMD) {
    sums = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(scratch), v128.load(scratch, 16), sums);
  }
  store<i32>(scratch, i32x4.extract_lane(sums, 0));
}
