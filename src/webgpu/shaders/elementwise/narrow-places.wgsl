//! use storage
// Where element i of [B, T, H, d] lies in a tensor, in elements, and what narrow writes there.

fn elementsAt(i: u32, strides: vec3i) -> u32 {
  let row = i / u32(p.d);
  let item = row / u32(p.heads);
  let batch = item / u32(p.length);
  let place = vec3i(i32(batch), i32(item - batch * u32(p.length)), i32(row - item * u32(p.heads)));
  return u32(place.x * strides.x + place.y * strides.y + place.z * strides.z) + i - row * u32(p.d);
}

// Nearest half of an f32, ties to even; halves that would be larger than any are infinite.
fn halfBits(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  // from 65520 on the nearest is 2^16
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
  if (magnitude >= 0x38800000u) {
    let rebased = magnitude - 0x38000000u;
    return sign | ((rebased + 0xfffu + ((rebased >> 13u) & 1u)) >> 13u);
  }
  // adding 1/2 leaves the subnormal's bits, rounded, at the bottom of the mantissa
  return sign | (bitcast<u32>(bitcast<f32>(magnitude) + 0.5) - 0x3f000000u);
}

// Nearest bfloat16 of an f32, ties to even.
fn bfloatBits(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

// The bits of element i in o's type.
fn narrowed(i: u32) -> u32 {
  let at = elementsAt(i, vec3i(p.xStrideB, p.xStrideT, p.xStrideH));
  if (p.xType == p.oType) {
    let bytes = bytesOfType(p.xType);
    let address = p.x + at * bytes;
    let word = loadU(address & ~3u) >> ((address & 3u) * 8u);
    if (bytes == 4u) { return word; }
    return word & select(0xffffu, 0xffu, bytes == 1u);
  }
  let bits = loadU(p.x + at * 4u);
  if (p.oType == 1) { return halfBits(bits); }
  return bfloatBits(bits);
}
