//! params BinaryParams
//! use group
// o = a + b or a * b, b repeated along leading axes.
//
//   a, o  f32 [n]        o may be a
//   b     f32 [period]   period divides n
//
// Thread: one piece; wide memory takes whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (groupIndex(wg, grid) * 256u + t) * PIECE;
  if (i >= u32(p.n)) { return; }
  let x = loadPiece(p.a + i * 4u);
  let y = loadPiece(p.b + (i % u32(p.period)) * 4u);
  storePiece(p.o + i * 4u, select(x + y, x * y, p.operation != 0));
}
