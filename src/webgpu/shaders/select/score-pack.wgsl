//! params ScorePackParams
//! use group, storage
//! extra quads: u32
// Packs rows into panels of eight columns, in which neighbours of a channel lie side by side.
//
//   k      f32, f16, bf16 or i8 [B, M, Hkv, d]   any strides, last axis contiguous
//   kPack  f32 [B, Hkv, ceil8(M) / 8, d, 8]      zeros past M; must not alias k
//
// Thread: one channel of half a panel.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.quads) { return; }
  let d = u32(p.d);
  let half = i / d;
  let c = i - half * d;
  let panels = u32(p.columns + 7) / 8u;
  let panel = half >> 1u;
  let head = panel / panels;
  let first = (panel - head * panels) * 8u + (half & 1u) * 4u;
  let batch = i32(head) / p.kvHeads;
  let h = i32(head) - batch * p.kvHeads;
  let at = batch * p.kStrideB + h * p.kStrideH + i32(c);
  var x = vec4f();
  for (var e = 0u; e < 4u; e += 1u) {
    let j = first + e;
    if (j < u32(p.columns)) { x[e] = loadAs(p.kType, p.k, at + i32(j) * p.kStrideT); }
  }
  storeF4(p.kPack + ((panel * d + c) * 8u + (half & 1u) * 4u) * 4u, x);
}
