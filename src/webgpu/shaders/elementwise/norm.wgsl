//! params NormParams
//! extra rows: u32
//! const LANES
//! use group
// RMS or layer normalisation of rows: o = (x - c) / sqrt(mean((x - c)^2) + epsilon) * weight + bias, c the mean or 0.
//
//   x, o          f32 [rows, n]   contiguous; o may be x
//   weight, bias  f32 [n]         each may be absent
//
// Ba 2016; Zhang and Sennrich 2019. LANES threads, a power of two, share a row: each reads and writes elements of its own.

var<workgroup> sums: array<f32, 256>;

fn total(x: Piece) -> f32 { return dot(vec4f(x), select(vec4f(1.0), vec4f(1.0, 0.0, 0.0, 0.0), PIECE == 1u)); }

// The sum over the threads of a row.
fn sumOverRow(t: u32, x: f32) -> f32 {
  workgroupBarrier();
  sums[t] = x;
  for (var step = LANES / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if ((t & (LANES - 1u)) < step) { sums[t] += sums[t + step]; }
  }
  workgroupBarrier();
  return sums[t & ~(LANES - 1u)];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let row = group * (256u / LANES) + t / LANES;
  let n = u32(p.n);
  let x = p.x + min(row, p.rows - 1u) * n * 4u;
  let first = (t & (LANES - 1u)) * PIECE;
  var mean = 0.0;
  if (p.centered != 0) {
    var sum = Piece(0.0);
    for (var c = first; c < n; c += LANES * PIECE) { sum += loadPiece(x + c * 4u); }
    mean = sumOverRow(t, total(sum)) / f32(n);
  }
  var squares = Piece(0.0);
  for (var c = first; c < n; c += LANES * PIECE) {
    let y = loadPiece(x + c * 4u) - mean;
    squares += y * y;
  }
  let inverse = 1.0 / sqrt(sumOverRow(t, total(squares)) / f32(n) + p.epsilon);
  if (row >= p.rows) { return; }
  let o = p.o + row * n * 4u;
  for (var c = first; c < n; c += LANES * PIECE) {
    var y = (loadPiece(x + c * 4u) - mean) * inverse;
    if (p.weight != 0u) { y *= loadPiece(p.weight + c * 4u); }
    if (p.bias != 0u) { y += loadPiece(p.bias + c * 4u); }
    storePiece(o + c * 4u, y);
  }
}
