//! params ProbeParams
//! use group
// Multiply-adds in registers, four independent chains: how many a second is the device's peak.
//
//   address  16 bytes that nobody reads; written only if the numbers come out as they cannot
//
// Workgroup: p.steps rounds of every thread.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let factor = vec4f(0.999) - vec4f(f32(t)) * 1e-6;
  let term = vec4f(f32(group)) * 1e-6;
  var a = factor;
  var b = factor + term;
  var c = factor - term;
  var d = term;
  for (var step = 0; step < p.steps; step++) {
    a = fma(a, factor, term);
    b = fma(b, factor, term);
    c = fma(c, factor, term);
    d = fma(d, factor, term);
  }
  let sum = a + b + c + d;
  if (sum.x < -1.0) { storeF4(p.address, sum); }
}
