//! params CombineParams
//! extra items: u32
//! use group
// Weighted sums of rows back at their tokens: o_t = sum_e weight_e x[row_e] over the entries of token t, zeros without any.
//
//   x        f32 [rows, H, d]      contiguous
//   offsets  i32 [B * T + 1]       first entry of each token
//   entries  (i32, f32) [entries]  row and weight
//   o        f32 [B, T, H, d]      any strides, last axis contiguous; must not alias x
//
// Thread: one piece of o; wide memory takes rows that are whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let d = u32(p.d) / PIECE;
  let i = groupIndex(wg, grid) * 256u + t;
  let row = i / d;
  let item = row / u32(p.heads);
  if (item >= p.items) { return; }
  let c = (i - row * d) * PIECE;
  let h = row - item * u32(p.heads);
  let batch = i32(item) / p.length;
  let time = i32(item) - batch * p.length;
  let last = loadU(p.offsets + item * 4u + 4u);
  var sum = Piece(0.0);
  for (var e = loadU(p.offsets + item * 4u); e < last; e++) {
    let source = (loadU(p.entries + e * 8u) * u32(p.heads) + h) * u32(p.d) + c;
    sum += loadF(p.entries + e * 8u + 4u) * loadPiece(p.x + source * 4u);
  }
  storePiece(p.o + (u32(batch * p.oStrideB + time * p.oStrideT + i32(h) * p.oStrideH) + c) * 4u, sum);
}
