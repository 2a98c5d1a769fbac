// Floats rounded to the nearest of 16 bits, ties to even.

fn halfBits(x: f32) -> u32 {
  let sign = (bitcast<u32>(x) >> 16u) & 0x8000u;
  let size = bitcast<u32>(x) & 0x7fffffffu;
  // 65520 and more is nearer to infinity; what a conversion makes of it is the device's own
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x477ff000u) { return sign | 0x7c00u; }
  return pack2x16float(vec2f(x, 0.0)) & 0xffffu;
}

fn bfloatBits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

// Two floats as the halves of a word, in a storage type: 1 f16, 2 bf16.
fn narrowPair(kind: i32, low: f32, high: f32) -> u32 {
  if (kind == 1) { return halfBits(low) | (halfBits(high) << 16u); }
  return bfloatBits(low) | (bfloatBits(high) << 16u);
}
