//! params GemmParams
//! extra blocksM: u32, panels: u32, half: u32
//! const ROWS, THREADS
//! use group, gemm-output
// As gemm-tiles, for a few rows of a: b is read once, in the order in which it lies.
//
// Workgroup: eight columns of up to ROWS rows of o. A pair of threads takes four of k at a time, four columns each; the sums of all
// pairs are added up in the end.

const HALF = THREADS / 2u;

// [row][thread]
var<workgroup> sums: array<vec4f, ROWS * THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let block = group / p.blocksM;
  let m0 = (group - block * p.blocksM) * ROWS;
  let product = block / p.panels;
  let panel = block - product * p.panels;
  let b = p.bPack + u32(i32(product) * p.bStrideB) * 4u + panel * u32(p.k) * 32u + (t & 1u) * 16u;
  let a = p.a + u32(i32(product) * p.aStrideB) * 4u;
  let k = u32(p.k);
  var rows: array<u32, ROWS>;
  var total: array<vec4f, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    rows[r] = a + min(m0 + r, u32(p.m) - 1u) * u32(p.aStride) * 4u;
    total[r] = vec4f(0.0);
  }
  let own = (t >> 1u) * 4u;
  for (var i = own; i < k; i += HALF * 4u) {
    let at = b + i * 32u;
    let left = i32(k - i);
    let b0 = loadF4(at);
    let b1 = loadSome(at + 32u, (left - 1) * 4);
    let b2 = loadSome(at + 64u, (left - 2) * 4);
    let b3 = loadSome(at + 96u, (left - 3) * 4);
    for (var r = 0u; r < ROWS; r++) {
      let x = loadSome(rows[r] + i * 4u, left);
      var sum = fma(vec4f(x.x), b0, total[r]);
      sum = fma(vec4f(x.y), b1, sum);
      sum = fma(vec4f(x.z), b2, sum);
      total[r] = fma(vec4f(x.w), b3, sum);
    }
  }
  for (var r = 0u; r < ROWS; r++) { sums[r * THREADS + t] = total[r]; }
  workgroupBarrier();
  // even threads have the first four columns, odd ones the last; bounds that are no constants keep the loops short
  let have = min(ROWS, u32(p.m) - m0);
  for (var step = p.half; step > 1u; step /= 2u) {
    if (t < step) {
      for (var at = t; at < have * THREADS; at += THREADS) { sums[at] += sums[at + step]; }
    }
    workgroupBarrier();
  }
  let row = m0 + (t >> 1u);
  if (t >= 2u * ROWS || row >= u32(p.m)) { return; }
  let o = p.o + u32(i32(product) * p.oStrideB + i32(row) * p.oStride) * 4u;
  storeOutput(o, panel * 8u + (t & 1u) * 4u, sums[(t >> 1u) * THREADS + (t & 1u)]);
}
