//! params InterleavedPackParams
//! use group, storage
//! extra quads: u32
// Packs keys of which every `interleave` in a row are one column: k'_j = [k_jS, ..., k_jS+S-1], zeros where the keys have ended.
//
//   k      f32, f16, bf16 or i8 [B, T, Hkv, d]            any strides, last axis contiguous
//   kPack  f32 [B, Hkv, ceil8(ceil(T / S)) / 8, S d, 8]   must not alias k
//
// Thread: one channel of half a panel.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.quads) { return; }
  let d = u32(p.d);
  let stride = u32(p.interleave);
  let depth = d * stride;
  let half = i / depth;
  let c = i - half * depth;
  let columns = (u32(p.length) + stride - 1u) / stride;
  let panels = (columns + 7u) / 8u;
  let panel = half >> 1u;
  let head = panel / panels;
  let first = (panel - head * panels) * 8u + (half & 1u) * 4u;
  let batch = i32(head) / p.kvHeads;
  let h = i32(head) - batch * p.kvHeads;
  let r = c / d;
  let at = batch * p.kStrideB + h * p.kStrideH + i32(c - r * d);
  var x = vec4f();
  for (var e = 0u; e < 4u; e += 1u) {
    let token = (first + e) * stride + r;
    if (token < u32(p.length)) { x[e] = loadAs(p.kType, p.k, at + i32(token) * p.kStrideT); }
  }
  storeF4(p.kPack + ((panel * depth + c) * 8u + (half & 1u) * 4u) * 4u, x);
}
