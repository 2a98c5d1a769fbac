// Numbers of floats in their order, so that choices compare integers: 0 is for what is no candidate, 1 for NaN, which comes last.

fn orderedBits(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return 1u; }
  // both zeros are one number
  if (size == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits > 0x7fffffffu);
}
