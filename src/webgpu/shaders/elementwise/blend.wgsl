//! params BlendParams
//! extra items: u32
//! use group
// Sums of branches by their gates: o = gate x, or o += gate x.
//
//   x     f32 [B, rows, H, d]       contiguous; o itself is allowed
//   row   i32 [T]                   row of x that each token takes; absent: its own, rows = T
//   gate  f32 [B, T, H, d or 1]     contiguous; absent: 1
//   o     f32 [B, T, H, d]          contiguous
//
// Thread: one piece; wide memory takes rows that are whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let d = u32(p.d) / PIECE;
  let i = groupIndex(wg, grid) * 256u + t;
  let head = i / d;
  let item = head / u32(p.heads);
  if (item >= p.items) { return; }
  let batch = item / u32(p.length);
  var row = item - batch * u32(p.length);
  if (p.row != 0u) { row = loadU(p.row + row * 4u); }
  let h = head - item * u32(p.heads);
  let source = (((batch * u32(p.rows) + row) * u32(p.heads) + h) * d + (i - head * d)) * PIECE;
  let to = p.o + i * PIECE * 4u;
  var y = loadPiece(p.x + source * 4u);
  if (p.gate != 0u) {
    if (p.wideGate != 0) { y *= loadPiece(p.gate + i * PIECE * 4u); } else { y *= loadF(p.gate + head * 4u); }
  }
  if (p.add != 0) { y += loadPiece(to); }
  storePiece(to, y);
}
