//! params PositionBitsParams
//! use group
//! extra spans: u32
// Positions as bits, for lists in ascending order.
//
//   positions  i32 [lists, stride]   the first `count` of each, different ones of [0, 32 words)
//   bits       i32 [lists, words]    bit j & 31 of word j >> 5 for position j; contiguous
//
// Workgroup: 1024 words of one list.

var<workgroup> set_: array<atomic<u32>, 1024>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let list = g / p.spans;
  let first = (g - list * p.spans) * 1024u;
  for (var w = t; w < 1024u; w += 256u) { atomicStore(&set_[w], 0u); }
  workgroupBarrier();
  for (var j = t; j < u32(p.count); j += 256u) {
    let position = loadU(p.positions + (list * u32(p.stride) + j) * 4u);
    let w = (position >> 5u) - first;
    if (w < 1024u) { atomicOr(&set_[w], 1u << (position & 31u)); }
  }
  workgroupBarrier();
  let count = min(1024u, u32(p.words) - first);
  for (var w = t; w < count; w += 256u) { storeU(p.bits + (list * u32(p.words) + first + w) * 4u, atomicLoad(&set_[w])); }
}
