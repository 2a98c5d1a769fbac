//! params TriSolveParams
//! use group, storage
// Systems of unit lower triangular matrices: x = (I + tril(a, -1))^-1 b, or the inverse itself where b is absent.
//
//   a  f32, f16 or bf16 [batch, n, n]   any strides, last axis contiguous; only what is below the diagonal is read
//   b  likewise [batch, n, columns]     absent: the identity, columns = n
//   x  f32 [batch, n, columns]          contiguous; must not alias a or b
//
// Forward substitution (the UT transform of Joffrain 2006, as in DeltaNet, Yang 2024), 16 rows at a time. Workgroup: one (matrix, 64 columns);
// thread: one column, whose earlier rows it has written itself.

const TILE = 16u;
const THREADS = 64u;

// [16][16]: a tile of a, by rows
var<workgroup> tile: array<vec4f, TILE * TILE / 4u>;

fn element(matrix: i32, row: u32, column: u32) -> f32 {
  if (row >= u32(p.n) || column >= row) { return 0.0; }
  return loadAs(p.aType, p.a, matrix * p.aStrideB + i32(row) * p.aStrideT + i32(column));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let n = u32(p.n);
  let columns = u32(p.columns);
  let strips = (columns + THREADS - 1u) / THREADS;
  let matrix = group / strips;
  let column = (group - matrix * strips) * THREADS + t;
  let there = column < columns;
  let x = p.x + (matrix * n * columns + column) * 4u;
  for (var row = 0u; row < n; row += TILE) {
    var sum: array<f32, TILE>;
    for (var r = 0u; r < TILE; r += 1u) {
      var b = 0.0;
      if (there && row + r < n) {
        if (p.b != 0u) {
          b = loadAs(p.bType, p.b, i32(matrix) * p.bStrideB + i32(row + r) * p.bStrideT + i32(column));
        } else if (column == row + r) {
          b = 1.0;
        }
      }
      sum[r] = b;
    }
    for (var j = 0u; j <= row; j += TILE) {
      workgroupBarrier();
      let r = row + t / 4u;
      let c = j + (t % 4u) * 4u;
      let m = i32(matrix);
      tile[t] = vec4f(element(m, r, c), element(m, r, c + 1u), element(m, r, c + 2u), element(m, r, c + 3u));
      workgroupBarrier();
      if (j < row) {
        for (var e = 0u; e < TILE; e += 4u) {
          var y = vec4f();
          if (there) {
            let at = x + (j + e) * columns * 4u;
            let next = columns * 4u;
            y = vec4f(loadF(at), loadF(at + next), loadF(at + 2u * next), loadF(at + 3u * next));
          }
          for (var i = 0u; i < TILE; i += 1u) { sum[i] -= dot(tile[i * 4u + e / 4u], y); }
        }
      } else {
        for (var i = 1u; i < TILE; i += 1u) {
          for (var e = 0u; e < i; e += 1u) { sum[i] -= tile[i * 4u + e / 4u][e % 4u] * sum[e]; }
        }
      }
    }
    if (there) {
      for (var r = 0u; r < TILE; r += 1u) {
        if (row + r < n) { storeF(x + (row + r) * columns * 4u, sum[r]); }
      }
    }
  }
}
