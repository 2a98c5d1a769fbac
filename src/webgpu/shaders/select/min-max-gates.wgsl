//! params MinMaxParams
//! use group, special, map-rows, lanes
//! extra rowCount: u32
// Weights of the scores that each row sees, its least as 0 and its largest as 1, in place; and what share of the weights of the others
// than its own column brings the row's own and theirs together to level of all. The own column becomes NaN, which chooses nothing.
//
//   map     f32 [B, L, R, C]   columns contiguous
//   own     i32 [R]            own column of each row
//   shares  f32 [B, L, R]      contiguous
//
//   w_c = (s_c - min s) / (max s - min s),  share = max(0, level (sum w + 1e-6) - w_own) / (sum w - w_own). VMoBA (Wu 2025).
//
// LANES threads: one row.

const LEAST_SPAN = 1e-6;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let live = item < p.rowCount;
  let list = i32(item) / p.rows;
  let i = i32(item) - list * p.rows;
  let row = mapRow(list, i);
  let end = select(0u, u32(p.columns), live);
  var own = 0u;
  if (live) { own = loadU(p.own + u32(i) * 4u); }
  var most = -3.4e38;
  var least = 3.4e38;
  for (var j = lane; j < end; j += LANES) {
    let x = loadF(row + j * 4u);
    most = max(most, x);
    least = min(least, x);
  }
  most = maxLanes(t, most);
  least = -maxLanes(t, -least);
  var factor = 1.0;
  if (most - least > LEAST_SPAN) { factor = 1.0 / (most - least); }
  var others = 0.0;
  var mine = 0.0;
  for (var j = lane; j < end; j += LANES) {
    let weight = (loadF(row + j * 4u) - least) * factor;
    if (j == own) {
      mine = weight;
      storeU(row + j * 4u, NAN_BITS);
    } else {
      others += weight;
      storeF(row + j * 4u, weight);
    }
  }
  others = sumLanes(t, others);
  mine = sumLanes(t, mine);
  if (!live || lane > 0u) { return; }
  let missing = p.level * (mine + others + LEAST_SPAN) - mine;
  var share = 0.0;
  if (missing > 0.0 && others > 0.0) { share = missing / others; }
  storeF(p.shares + item * 4u, share);
}
