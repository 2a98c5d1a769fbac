//! params CoverCountParams
//! use group, map-rows, cut, workgroup-mass
//! extra fine: u32
// How many of a row's largest numbers hold a share of their sum, as a count of something coarser.
//
//   map     f32 [B, L, R, C]   columns contiguous; what a row does not see is not read; below 0 and NaN weigh nothing
//   shares  f32 [L]            contiguous; absent: p.level for all
//   o       i32 [B, L, R]      contiguous
//
//   n = fewest of the largest whose sum reaches the share; o = clamp(floor((n + add) / div) + plus, least, most); most where the share is 1.
//
// Workgroup: one row.

var<private> seen: u32;
var<private> rowAt: u32;
var<workgroup> asked: u32;

fn cellNumber(x: u32) -> u32 { return orderedBits(loadU(rowAt + x * 4u)); }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  let list = item / p.rows;
  let i = item - list * p.rows;
  seen = u32(visibleColumns(i));
  rowAt = mapRow(list, i);
  var share = p.level;
  if (p.shares != 0u) { share = loadF(p.shares + u32(list % p.lists) * 4u); }
  var sum = 0.0;
  for (var x = t; x < seen; x += 256u) { sum += weightOf(loadU(rowAt + x * 4u)); }
  let scale = massScale(aboutSum(t, sum));
  var own = vec2u();
  for (var x = t; x < seen; x += 256u) {
    own = plusMass(own, massUnits(weightOf(loadU(rowAt + x * 4u)), scale, p.fine), p.fine);
  }
  let total = sumUnits(t, own, vec2u(), p.fine).xy;
  let wanted = shareOf(total, min(max(share, 0.0), 0.99999994), p.fine);
  let none = vec2u();
  if (t == 0u) { asked = u32(lessMass(none, wanted)); }
  var taken = min(seen, 1u);
  if (workgroupUniformLoad(&asked) != 0u) {
    let cut = cutMass(t, seen, scale, p.fine, none, wanted);
    taken = countAbove(t, seen, cut.x) + cut.y;
  }
  if (t > 0u) { return; }
  var count = p.most;
  if (share < 1.0) { count = max(p.least, min(p.most, (i32(taken) + p.add) / p.div + p.plus)); }
  storeI(p.o + u32(item) * 4u, count);
}
