//! params ChannelScoreParams
//! use group, map-rows, lines
//! extra spans: u32
// Products with keys over some channels alone, of keys that lie channel by channel.
//
//   q         f32 [B, Tq, H, d]                contiguous
//   channels  i32 [B, Tq, H / group, r]        contiguous, from 0 to d - 1
//   kT        f32 [B, H / group, d, columns]   any strides, last axis contiguous
//   map       f32 [B, H, Tq, columns]          columns contiguous; what no row sees is left as it is
//
//   map_ij = sum of q_c kT_cj over the channels. Workgroup: 256 columns of one row.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g / p.spans;
  let j = i32((g - item * p.spans) * 256u + t);
  let at = lineOf(i32(item));
  if (j >= visibleColumns(at.row)) { return; }
  let h = at.head / p.group;
  let token = at.batch * p.rows + at.row;
  let channels = p.channels + u32((token * (p.lists / p.group) + h) * p.r) * 4u;
  let q = p.q + u32((token * p.lists + at.head) * p.d) * 4u;
  let keys = p.kT + u32(at.batch * p.kStrideB + h * p.kStrideH + j) * 4u;
  var sum = 0.0;
  for (var n = 0u; n < u32(p.r); n += 1u) {
    let c = loadU(channels + n * 4u);
    sum = fma(loadF(q + c * 4u), loadF(keys + c * u32(p.kStrideC) * 4u), sum);
  }
  storeF(mapRow(at.list, at.row) + u32(j) * 4u, sum);
}
