//! params SlotParams
//! use group, slot-rows
// Puts new tokens into slots one after another, without attention. All as in slot-attend.
//
// Workgroup: one (token, batch, unit of heads).

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  let units = p.kvHeads / p.unitHeads;
  let rest = item / units;
  let unit = item - rest * units;
  let batch = rest / p.tokens;
  let token = rest - batch * p.tokens;
  let j = p.held + token;
  for (var h = unit * p.unitHeads; h < (unit + 1) * p.unitHeads; h += 1) { putToken(t, batch, h, token, j); }
  if (t > 0u) { return; }
  let at = u32((batch * units + unit) * p.slots + j) * 4u;
  storeI(p.positions + at, p.start + token);
  if (p.sums != 0u) { storeF(p.sums + at, 0.0); }
}
