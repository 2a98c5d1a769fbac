//! params PseudoInverseParams
//! extra x: u32, y: u32, z: u32, factor: f32, scale: f32
//! use group
// z = scale x (factor I - y) of every matrix, or scale x y where the factor is 0.
//
//   x, y, z  f32 [matrices, n, n]   contiguous; z must not alias x or y
//
// Wide memory takes n that are multiples of four. Workgroup: 32 x 32 elements, 4 x 4 a thread.

// [row][k], a row one element longer than what it holds, and [k][vector of columns]
var<workgroup> tileX: array<f32, 544>;
var<workgroup> tileY: array<vec4f, 128>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let n = u32(p.n);
  let side = (n + 31u) / 32u;
  let matrix = group / (side * side);
  let tile = group - matrix * side * side;
  let m0 = (tile / side) * 32u;
  let n0 = (tile % side) * 32u;
  let first = matrix * n * n;
  let tx = t & 7u;
  let ty = t >> 3u;
  var sum0 = vec4f(0.0);
  var sum1 = vec4f(0.0);
  var sum2 = vec4f(0.0);
  var sum3 = vec4f(0.0);
  for (var k0 = 0u; k0 < n; k0 += 16u) {
    workgroupBarrier();
    for (var i = t; i < 128u; i += 64u) {
      let row = i >> 2u;
      let column = k0 + (i & 3u) * 4u;
      var a = vec4f(0.0);
      if (m0 + row < n) { a = loadSome(p.x + (first + (m0 + row) * n + column) * 4u, i32(n) - i32(column)); }
      for (var j = 0u; j < 4u; j++) { tileX[row * 17u + (i & 3u) * 4u + j] = a[j]; }
      let k = k0 + (i >> 3u);
      let c = n0 + (i & 7u) * 4u;
      var b = vec4f(0.0);
      if (k < n) { b = loadSome(p.y + (first + k * n + c) * 4u, i32(n) - i32(c)); }
      if (p.factor != 0.0) { b = select(vec4f(0.0), vec4f(p.factor), vec4u(k) == vec4u(c) + vec4u(0u, 1u, 2u, 3u)) - b; }
      tileY[i] = b;
    }
    workgroupBarrier();
    let row = ty * 68u;
    for (var k = 0u; k < min(16u, n - k0); k++) {
      let b = tileY[k * 8u + tx];
      sum0 = fma(vec4f(tileX[row + k]), b, sum0);
      sum1 = fma(vec4f(tileX[row + 17u + k]), b, sum1);
      sum2 = fma(vec4f(tileX[row + 34u + k]), b, sum2);
      sum3 = fma(vec4f(tileX[row + 51u + k]), b, sum3);
    }
  }
  let c = n0 + tx * 4u;
  let row = m0 + ty * 4u;
  let z = p.z + (first + row * n + c) * 4u;
  let left = i32(n) - i32(c);
  if (row < n) { storeSome(z, sum0 * p.scale, left); }
  if (row + 1u < n) { storeSome(z + n * 4u, sum1 * p.scale, left); }
  if (row + 2u < n) { storeSome(z + n * 8u, sum2 * p.scale, left); }
  if (row + 3u < n) { storeSome(z + n * 12u, sum3 * p.scale, left); }
}
