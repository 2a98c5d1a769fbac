//! params HashParams
//! use group
//! extra words: u32, space: u32, elements: u32
// The bits y_j > 0 of each round's directions as labels (Charikar 2002).
//
//   space   u32 [B, H, T, words]     as hash-signs writes it
//   labels  i32 [B, H * rounds, T]   contiguous
//
// Thread: one label.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = e / u32(p.length);
  let i = e - line * u32(p.length);
  let list = line / u32(p.rounds);
  let first = (line - list * u32(p.rounds)) * u32(p.directions);
  let at = p.space + ((list * u32(p.length) + i) * p.words + (first >> 5u)) * 4u;
  let shift = first & 31u;
  var bits = loadU(at) >> shift;
  if (shift + u32(p.directions) > 32u) { bits |= loadU(at + 4u) << (32u - shift); }
  if (p.directions < 32) { bits &= (1u << u32(p.directions)) - 1u; }
  storeU(p.labels + e * 4u, bits);
}
