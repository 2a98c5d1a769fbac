//! const WIDE
// Four elements of a row of n: with WIDE f32 whose vectors begin at multiples of 16 bytes, n a multiple of 4; else of any storage.

fn row4(kind: i32, base: u32, row: i32, i: u32, n: u32) -> vec4f {
  if (i >= n) { return vec4f(); }
  if (WIDE) { return loadF4(base + (u32(row) + i) * 4u); }
  var x = vec4f(loadAs(kind, base, row + i32(i)), 0.0, 0.0, 0.0);
  if (i + 1u < n) { x.y = loadAs(kind, base, row + i32(i) + 1); }
  if (i + 2u < n) { x.z = loadAs(kind, base, row + i32(i) + 2); }
  if (i + 3u < n) { x.w = loadAs(kind, base, row + i32(i) + 3); }
  return x;
}
