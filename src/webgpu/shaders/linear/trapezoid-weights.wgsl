//! params TrapezoidParams
//! use group, storage
// Gates and weights of Mamba-3's trapezoidal recurrence as the gated-linear engine takes them: a token writes at once what it writes with
// the next one. And what is left of the last token, and was of the one before the first.
//
//   dt, lambda, a         f32 [B, T, HV]   any strides
//   g, weight, own        f32 [B, T, HV]   a dt, lambda dt + late, -late, late = (1 - lambda) dt of the next token
//   kIn, vIn, kOut, vOut  f32 [N, HV, K], [N, HV, V]   of the token before, and of the last; may be the same
//   kBefore, vBefore      copies of kIn and vIn; may be absent
//   weightBefore          f32 [N, HV]      what the token before writes with the first one
//   kTurned               f32 [B, T, HV, K]   of trapezoid-rows
//
// Group: a sequence and head. Mamba-3, 2026.

fn numberAt(base: u32, strideB: i32, strideT: i32, strideH: i32, batch: i32, token: i32, head: i32) -> f32 {
  return loadF(base + u32(batch * strideB + token * strideT + head * strideH) * 4u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let n = group / heads;
  let head = i32(group - n * heads);
  let at = p.sequences + n * 32u;
  let batch = loadI(at);
  let start = loadI(at + 4u);
  let length = loadI(at + 8u);
  for (var i = i32(t) - 1; i < length; i += 256) {
    var late = 0.0;
    if (i + 1 < length) {
      let next = start + i + 1;
      let lambda = numberAt(p.lambda, p.lambdaStrideB, p.lambdaStrideT, p.lambdaStrideH, batch, next, head);
      late = (1.0 - lambda) * numberAt(p.dt, p.dtStrideB, p.dtStrideT, p.dtStrideH, batch, next, head);
    }
    if (i < 0) {
      if (p.kBefore != 0u) { storeF(p.weightBefore + group * 4u, late); }
      continue;
    }
    let token = start + i;
    let to = u32((batch * p.length + token) * p.heads + head) * 4u;
    let dt = numberAt(p.dt, p.dtStrideB, p.dtStrideT, p.dtStrideH, batch, token, head);
    let lambda = numberAt(p.lambda, p.lambdaStrideB, p.lambdaStrideT, p.lambdaStrideH, batch, token, head);
    storeF(p.g + to, numberAt(p.a, p.aStrideB, p.aStrideT, p.aStrideH, batch, token, head) * dt);
    storeF(p.weight + to, lambda * dt + late);
    storeF(p.own + to, -late);
  }
  let last = start + length - 1;
  let row = u32(((batch * p.length + last) * p.heads + head) * p.dk);
  for (var k = t; k < u32(p.dk); k += 256u) {
    let place = (group * u32(p.dk) + k) * 4u;
    var x = 0.0;
    if (p.kIn != 0u) { x = loadF(p.kIn + place); }
    if (p.kBefore != 0u) { storeF(p.kBefore + place, x); }
    if (length > 0) { x = loadF(p.kTurned + (row + k) * 4u); }
    storeF(p.kOut + place, x);
  }
  for (var v = t; v < u32(p.dv); v += 256u) {
    let place = (group * u32(p.dv) + v) * 4u;
    var x = 0.0;
    if (p.vIn != 0u) { x = loadF(p.vIn + place); }
    if (p.vBefore != 0u) { storeF(p.vBefore + place, x); }
    if (length > 0) { x = loadAs(p.vType, p.v, batch * p.vStrideB + last * p.vStrideT + head * p.vStrideH + i32(v)); }
    storeF(p.vOut + place, x);
  }
}
