//! params TriSolveParams
//! use group, storage, unit-lower-tile
// Systems of unit lower triangular matrices: x = (I + tril(a, -1))^-1 b, or the inverse itself where b is absent.
//
//   a  f32, f16 or bf16 [batch, n, n]   any strides, last axis contiguous; only what is below the diagonal is read
//   b  likewise [batch, n, columns]     absent: the identity, columns = n
//   x  f32 [batch, n, columns]          contiguous; must not alias a or b
//
// x first holds b. Forward substitution (the UT transform of Joffrain 2006, as in DeltaNet, Yang 2024), 16 rows at a time. Workgroup: one (matrix, 64 columns);
// thread: one column, whose earlier rows it has written itself.

const THREADS = 64u;

fn element(matrix: i32, row: u32, column: u32) -> f32 {
  if (row >= u32(p.n) || column >= row) { return 0.0; }
  return loadAs(p.aType, p.a, matrix * p.aStrideB + i32(row) * p.aStrideT + i32(column));
}

fn right(matrix: i32, row: u32, column: u32) -> f32 {
  if (p.b == 0u) { return select(0.0, 1.0, row == column); }
  return loadAs(p.bType, p.b, matrix * p.bStrideB + i32(row) * p.bStrideT + i32(column));
}

// Rows `row` to `row` + 3 of a column of x, which begins at `x`.
fn fourOf(x: u32, row: u32) -> vec4f {
  let next = u32(p.columns) * 4u;
  let at = x + row * next;
  var y = vec4f();
  if (row < u32(p.n)) { y.x = loadF(at); }
  if (row + 1u < u32(p.n)) { y.y = loadF(at + next); }
  if (row + 2u < u32(p.n)) { y.z = loadF(at + 2u * next); }
  if (row + 3u < u32(p.n)) { y.w = loadF(at + 3u * next); }
  return y;
}

fn keep(x: u32, row: u32, y: vec4f) {
  let next = u32(p.columns) * 4u;
  let at = x + row * next;
  if (row < u32(p.n)) { storeF(at, y.x); }
  if (row + 1u < u32(p.n)) { storeF(at + next, y.y); }
  if (row + 2u < u32(p.n)) { storeF(at + 2u * next, y.z); }
  if (row + 3u < u32(p.n)) { storeF(at + 3u * next, y.w); }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let n = u32(p.n);
  let columns = u32(p.columns);
  let strips = (columns + THREADS - 1u) / THREADS;
  let unit = group / strips;
  let matrix = i32(unit);
  let column = (group - unit * strips) * THREADS + t;
  let there = column < columns;
  let x = p.x + (unit * n * columns + column) * 4u;
  if (there) {
    for (var row = 0u; row < n; row += 1u) { storeF(x + row * columns * 4u, right(matrix, row, column)); }
  }
  for (var row = 0u; row < n; row += TILE) {
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    if (there) {
      s0 = fourOf(x, row);
      s1 = fourOf(x, row + 4u);
      s2 = fourOf(x, row + 8u);
      s3 = fourOf(x, row + 12u);
    }
    for (var j = 0u; j <= row; j += TILE) {
      workgroupBarrier();
      let r = row + (t % 4u) * 4u;
      let c = j + t / 4u;
      var a = vec4f();
      for (var e = 0u; e < 4u; e += 1u) { a[e] = element(matrix, r + e, c); }
      tile[t] = a;
      workgroupBarrier();
      if (j < row) {
        for (var e = 0u; e < TILE; e += 1u) {
          var y = 0.0;
          if (there) { y = loadF(x + (j + e) * columns * 4u); }
          s0 -= tile[e * 4u] * y;
          s1 -= tile[e * 4u + 1u] * y;
          s2 -= tile[e * 4u + 2u] * y;
          s3 -= tile[e * 4u + 3u] * y;
        }
      }
    }
    // what is in the tile now lies on the diagonal
    let y = solveTile(array<vec4f, 4>(s0, s1, s2, s3));
    if (there) {
      keep(x, row, y[0]);
      keep(x, row + 4u, y[1]);
      keep(x, row + 8u, y[2]);
      keep(x, row + 12u, y[3]);
    }
  }
}
