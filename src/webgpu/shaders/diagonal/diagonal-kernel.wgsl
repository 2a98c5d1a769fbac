//! params DiagonalKernelParams
//! use group, discretize
// Sums of powers: o[row, l] = Re sum_n g_n a_n^l, with g = c b for convolution kernels, g = c a x for the response to a state.
//
//   tensors as of the kernel diagonalKernel
//
// Workgroup: 256 steps of one row. Coefficients of 64 states at a time are found once, a thread each; then a thread has a step.

var<workgroup> weights: array<vec2f, 64>;
var<workgroup> sizes: array<f32, 64>;
var<workgroup> turns: array<u32, 64>;
var<workgroup> shifts: array<i32, 64>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let states = u32(p.states);
  let width = ((u32(p.length) + 63u) / 64u) * 64u;
  let pieces = (width + 255u) / 256u;
  let row = group / pieces;
  let l = (group - row * pieces) * 256u + t;
  var sum = 0.0;
  for (var base = 0u; base < states; base += 64u) {
    workgroupBarrier();
    if (t < 64u && base + t < states) {
      let all = coefficientsOf(row % u32(p.channels), base + t);
      var g = all.b;
      shifts[t] = -all.back;
      if (p.state != 0u) {
        let at = p.state + (row * states + base + t) * 8u;
        g = vec2f(loadF(at), loadF(at + 4u));
        shifts[t] = 1;
      }
      weights[t] = product2(all.c, g);
      sizes[t] = all.size;
      turns[t] = all.turns;
    }
    workgroupBarrier();
    for (var n = 0u; n < min(64u, states - base); n += 1u) {
      let steps = i32(l) + shifts[n];
      let power = exp(clamp(f32(steps) * sizes[n], -200.0, 88.0)) * cis(turns[n] * bitcast<u32>(steps));
      sum += weights[n].x * power.x - weights[n].y * power.y;
    }
  }
  if (l < width) { storeF(p.o + (row * width + l) * 4u, sum); }
}
