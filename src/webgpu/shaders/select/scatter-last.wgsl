//! params GatherHeadsParams
//! use group, scatter-lists
//! extra space: u32, spans: u32
// The last row of each token.
//
//   order  i32 [B, L, n]   last axis contiguous
//   space  u32 [B, L, T]   number of the row, counted from 1; 0 where there is none
//
// Workgroup: 2048 tokens of one list.

var<workgroup> rows: array<atomic<u32>, 2048>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g / p.spans;
  let first = (g - item * p.spans) * 2048u;
  for (var i = t; i < 2048u; i += 256u) { atomicStore(&rows[i], 0u); }
  workgroupBarrier();
  let order = labelsOf(item);
  for (var i = t; i < u32(p.n); i += 256u) {
    let token = loadU(order + i * 4u) - first;
    if (token < 2048u) { atomicMax(&rows[token], i + 1u); }
  }
  workgroupBarrier();
  let count = min(2048u, u32(p.length) - first);
  for (var i = t; i < count; i += 256u) { storeU(p.space + (item * u32(p.length) + first + i) * 4u, atomicLoad(&rows[i])); }
}
