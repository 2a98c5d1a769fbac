//! use storage, round-bits, element-place
// What narrow writes.

// Address of element i of o.
fn narrowPlace(i: u32) -> u32 {
  return p.o + u32(offsetOf(placeOf(i, u32(p.d)), p.oStrideB, p.oStrideT, p.oStrideH)) * bytesOfType(p.oType);
}

// The bits of element i in o's type.
fn narrowed(i: u32) -> u32 {
  let at = u32(offsetOf(placeOf(i, u32(p.d)), p.xStrideB, p.xStrideT, p.xStrideH));
  if (p.xType == p.oType) {
    let bytes = bytesOfType(p.xType);
    let address = p.x + at * bytes;
    let word = loadU(address & ~3u) >> ((address & 3u) * 8u);
    if (bytes == 4u) { return word; }
    return word & select(0xffffu, 0xffu, bytes == 1u);
  }
  let bits = loadU(p.x + at * 4u);
  if (p.oType == 1) { return roundedHalf(bits); }
  return roundedBfloat(bits);
}
