//! params PutHeadsParams
//! use group, storage, round-bits
//! const EACH, PLACES
//! extra elements: u32, byte: u32
// Copies heads in another order, or some of them.
//
//   x      [B, T, X, d]   f32, or of o's type; any strides, last axis contiguous, as for o
//   o      [B, T, H, d]   f32, f16 or bf16; must not alias x
//   order  i32 [H]        head of x that each head of o is; contiguous
//
// Thread: EACH elements that are one word of o. With PLACES words may belong to several rows: one element, written where it begins at
// byte `byte` of its word, so that no two threads of a pass write the same word.

// Bits of an element in o's type.
fn elementBits(x: i32) -> u32 {
  let value = bitcast<u32>(loadAs(p.xType, p.x, x));
  switch p.oType {
    case 1: { return roundedHalf(value); }
    case 2: { return roundedBfloat(value); }
    default: { return value; }
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let d = p.d / i32(EACH);
  let line = i32(e) / d;
  let c = (i32(e) - line * d) * i32(EACH);
  let item = line / p.heads;
  let h = line - item * p.heads;
  let batch = item / p.length;
  let token = item - batch * p.length;
  let head = loadI(p.order + u32(h) * 4u);
  let x = batch * p.xStrideB + token * p.xStrideT + head * p.xStrideH + c;
  let o = p.o + u32(batch * p.oStrideB + token * p.oStrideT + h * p.oStrideH + c) * bytesOfType(p.oType);
  if (PLACES) {
    if ((o & 3u) != p.byte) { return; }
    let word = loadU(o & ~3u) & ~(0xffffu << (p.byte * 8u));
    storeU(o & ~3u, word | (elementBits(x) << (p.byte * 8u)));
    return;
  }
  var word = elementBits(x);
  if (EACH > 1u) { word |= elementBits(x + 1) << 16u; }
  storeU(o, word);
}
