//! params DiagonalStateParams
//! use group, discretize
// The states after all steps without those in between: x_T = a^T x_0 + b sum_t a^(T-1-t) u_t.
//
//   tensors as of the kernel diagonalState
//
// Workgroup: one channel of one batch entry. 32 states at a time; eight threads share the steps of a state.

var<workgroup> found: array<Coefficients, 32>;
var<workgroup> parts: array<vec2f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let channels = u32(p.channels);
  let states = u32(p.states);
  let batch = group / channels;
  let h = group - batch * channels;
  let u = i32(batch) * p.uStrideB + i32(h);
  let lane = t & 31u;
  for (var base = 0u; base < states; base += 32u) {
    if (t < 32u && base + t < states) { found[t] = coefficientsOf(h, base + t); }
    workgroupBarrier();
    let exists = base + lane < states;
    var sum = vec2f();
    if (exists) {
      let all = found[lane];
      for (var time = i32(t >> 5u); time < p.length; time += 8) {
        sum += loadF(p.u + u32(u + time * p.uStrideT) * 4u) * powerOf(all, p.length - 1 - time - all.back);
      }
    }
    parts[t] = sum;
    workgroupBarrier();
    if (t < 32u && exists) {
      let all = found[lane];
      var total = vec2f();
      for (var i = 0u; i < 8u; i += 1u) { total += parts[i * 32u + lane]; }
      var x = product2(all.b, total);
      let at = ((batch * channels + h) * states + base + lane) * 8u;
      if (p.initialState != 0u) {
        x += product2(powerOf(all, p.length), vec2f(loadF(p.initialState + at), loadF(p.initialState + at + 4u)));
      }
      storeF(p.finalState + at, x.x);
      storeF(p.finalState + at + 4u, x.y);
    }
    workgroupBarrier();
  }
}
