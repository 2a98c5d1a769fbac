//! use storage, sequence
// Where rows of keys and values lie, in bytes; and 16 bytes of a row widened to floats.

// Element offset of key j of head h by strides of batch (or page), time and head.
fn keyOffset(s: Sequence, j: i32, h: i32, strideB: i32, strideT: i32, strideH: i32) -> u32 {
  if (p.pageTable != 0u) {
    let index = j / p.pageSize;
    let page = loadI(p.pageTable + u32(s.batch * p.pagesPerSequence + index) * 4u);
    return u32(page) * u32(strideB) + u32((j - index * p.pageSize) * strideT + h * strideH);
  }
  return u32(s.batch) * u32(strideB) + u32(s.kStart + j) * u32(strideT) + u32(h * strideH);
}

fn keyRow(s: Sequence, j: i32, h: i32) -> u32 {
  return p.k + keyOffset(s, j, h, p.kStrideB, p.kStrideT, p.kStrideH) * bytesOfType(p.kType);
}
fn restRow(s: Sequence, j: i32) -> u32 {
  let at = u32(s.batch) * u32(p.kRestStrideB) + u32(s.kStart + j) * u32(p.kRestStrideT);
  return p.kRest + at * bytesOfType(p.kType);
}
fn valueRow(s: Sequence, j: i32, h: i32) -> u32 {
  return p.v + keyOffset(s, j, h, p.vStrideB, p.vStrideT, p.vStrideH) * bytesOfType(p.vType);
}
fn scaleAt(s: Sequence, j: i32, h: i32) -> u32 {
  return keyOffset(s, j, h, p.scaleStrideB, p.scaleStrideT, p.scaleStrideH) * 4u;
}

fn halves(a: u32, b: u32) -> vec4f { return vec4f(unpack2x16float(a), unpack2x16float(b)); }
fn bfloats(a: u32, b: u32) -> vec4f {
  return bitcast<vec4f>(vec4u(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
}
fn bytes4(a: u32) -> vec4f { return vec4f(bitcast<vec4i>(vec4u(a) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)); }

// Elements of 16 bytes at a multiple of 16: four, eight or sixteen, in the first vectors.
fn widened(kind: u32, at: u32) -> array<vec4f, 4> {
  let x = loadU4(at);
  switch kind {
    case 0u: { return array<vec4f, 4>(bitcast<vec4f>(x), vec4f(), vec4f(), vec4f()); }
    case 1u: { return array<vec4f, 4>(halves(x.x, x.y), halves(x.z, x.w), vec4f(), vec4f()); }
    case 2u: { return array<vec4f, 4>(bfloats(x.x, x.y), bfloats(x.z, x.w), vec4f(), vec4f()); }
    default: { return array<vec4f, 4>(bytes4(x.x), bytes4(x.y), bytes4(x.z), bytes4(x.w)); }
  }
}

// Elements [c, c + 4) of a row of d, zeros behind its end, wherever it lies.
fn elements4(kind: i32, row: u32, c: i32, d: i32) -> vec4f {
  var x = vec4f();
  for (var e = 0; e < 4; e++) { if (c + e < d) { x[e] = loadAs(kind, row, c + e); } }
  return x;
}
