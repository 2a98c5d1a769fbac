//! params RodimusParams
//! extra rows: u32
//! use group, feature-row
// Keys and log decays of one gate and its temperature: o = k g^tau, decay = -g tau; g^0 is 1.
//
//   x (k)      f32 [B, T, H, d]  any strides, last axis contiguous
//   gate, tau  f32 [B, T, H, d]  likewise; gate at least 0
//   o, decay   f32 [B, T, H, d]  contiguous; o may be x
//
// Thread: one element. Rodimus (He 2024).

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let d = u32(p.d);
  let row = i / d;
  let c = i - row * d;
  if (row >= p.rows) { return; }
  let gate = loadF(p.gate + (rowOffset(row, p.gateStrideB, p.gateStrideT, p.gateStrideH) + c) * 4u);
  let tau = loadF(p.tau + (rowOffset(row, p.tauStrideB, p.tauStrideT, p.tauStrideH) + c) * 4u);
  var power = exp2(clamp(tau * log2(max(gate, 1e-37)), -200.0, 127.0));
  if (gate == 0.0) { power = 0.0; }
  if (tau == 0.0) { power = 1.0; }
  let x = loadF(inputRow(row) + c * 4u);
  let at = (row * u32(p.features) + c) * 4u;
  storeF(p.o + at, x * power);
  storeF(p.decay + at, -gate * tau);
}
