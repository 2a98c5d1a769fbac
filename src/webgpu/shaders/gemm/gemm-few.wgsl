//! params GemmParams
//! extra blocksM: u32, panels: u32
//! const ROWS, THREADS
//! use group, gemm-output
// As gemm-tiles, for a few rows of a: b is read once, in the order in which it lies.
//
// Workgroup: eight columns of up to ROWS rows of o. A pair of threads takes eight columns of one k of THREADS / 2; their sums are
// added up in the end.

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
  let b = p.bPack + u32(i32(product) * p.bStrideB) * 4u + panel * u32(p.k) * 32u + t * 16u;
  let a = p.a + u32(i32(product) * p.aStrideB) * 4u;
  let k = u32(p.k);
  var rows: array<u32, ROWS>;
  var total: array<vec4f, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    rows[r] = a + min(m0 + r, u32(p.m) - 1u) * u32(p.aStride) * 4u;
    total[r] = vec4f(0.0);
  }
  // four vectors of b are on their way at a time
  let own = t >> 1u;
  var i = own;
  for (; i + 3u * HALF < k; i += 4u * HALF) {
    let at = b + (i - own) * 32u;
    let b0 = loadF4(at);
    let b1 = loadF4(at + HALF * 32u);
    let b2 = loadF4(at + HALF * 64u);
    let b3 = loadF4(at + HALF * 96u);
    for (var r = 0u; r < ROWS; r++) {
      let source = rows[r] + i * 4u;
      var sum = total[r];
      sum = fma(vec4f(loadF(source)), b0, sum);
      sum = fma(vec4f(loadF(source + HALF * 4u)), b1, sum);
      sum = fma(vec4f(loadF(source + HALF * 8u)), b2, sum);
      total[r] = fma(vec4f(loadF(source + HALF * 12u)), b3, sum);
    }
  }
  for (; i < k; i += HALF) {
    let x = loadF4(b + (i - own) * 32u);
    for (var r = 0u; r < ROWS; r++) { total[r] = fma(vec4f(loadF(rows[r] + i * 4u)), x, total[r]); }
  }
  for (var r = 0u; r < ROWS; r++) { sums[r * THREADS + t] = total[r]; }
  workgroupBarrier();
  // even threads have the first four columns, odd ones the last
  for (var step = HALF; step > 1u; step /= 2u) {
    if (t < step) {
      for (var r = 0u; r < ROWS; r++) { sums[r * THREADS + t] += sums[r * THREADS + t + step]; }
    }
    workgroupBarrier();
  }
  let row = m0 + (t >> 1u);
  if (t >= 2u * ROWS || row >= u32(p.m)) { return; }
  let o = p.o + u32(i32(product) * p.oStrideB + i32(row) * p.oStride) * 4u;
  storeOutput(o, panel * 8u + (t & 1u) * 4u, sums[(t >> 1u) * THREADS + (t & 1u)]);
}
