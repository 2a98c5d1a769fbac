//! params SelectParams
//! use group, select-span, ordered, mass
//! const BY_MASS, WIDTH
//! extra rowCount: u32
// As choose, for rows of at most WIDTH (32, 64 or 128) columns: each column finds out how many come before it.
//
// WIDTH threads: one row.

const FINE = 15u;
const ROWS = 256u / WIDTH;

var<workgroup> numbers: array<u32, 256>;
var<workgroup> weights: array<f32, 256>;
var<workgroup> words: array<atomic<u32>, 8>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * ROWS + t / WIDTH;
  let live = item < p.rowCount;
  let list = i32(item) / p.rows;
  let i = i32(item) - list * p.rows;
  let j = i32(t % WIDTH);
  let base = t - u32(j);
  let span = spanOf(i);
  let candidate = live && isCandidate(span, j);
  let forced = live && isForced(span, j);
  var bits = 0u;
  if (candidate || (forced && BY_MASS)) { bits = loadU(mapRow(list, i) + u32(j) * 4u); }
  var number = 0u;
  if (candidate) { number = orderedBits(bits); }
  numbers[t] = number;
  if (BY_MASS) {
    let counts = candidate || (forced && p.forced == COUNTED_FORCED);
    weights[t] = select(0.0, weightOf(bits), counts);
  }
  if (t < 8u) { atomicStore(&words[t], 0u); }
  workgroupBarrier();
  var each = 0u;
  if (live && p.each != 0u) { each = loadU(eachAt(list, i)); }
  var wanted = p.k;
  if (!BY_MASS && p.each != 0u) { wanted = bitcast<i32>(each); }
  if (p.forced == COUNTED_FORCED) { wanted -= span.first + span.end - span.last; }
  var rank = 0;
  for (var x = 0u; x < WIDTH; x += 1u) {
    let other = numbers[base + x];
    rank += i32(other > number || (other == number && x < u32(j)));
  }
  var taken = candidate && rank < wanted;
  if (BY_MASS) {
    var sum = 0.0;
    for (var x = 0u; x < WIDTH; x += 1u) { sum += weights[base + x]; }
    let scale = massScale(sum);
    var all = vec2u();
    var before = vec2u();
    for (var x = 0u; x < WIDTH; x += 1u) {
      let units = massUnits(weights[base + x], scale, FINE);
      let other = numbers[base + x];
      all += units;
      // forced columns are no candidates and come before all
      if (other == 0u || other > number || (other == number && x < u32(j))) { before += units; }
    }
    let share = select(p.level, bitcast<f32>(each), p.each != 0u);
    let goal = shareOf(carried(all, FINE), min(max(share, 0.0), 0.99999994), FINE);
    taken = candidate && (taken || share >= 1.0 || lessMass(carried(before, FINE), goal));
  }
  if (taken || forced) { atomicOr(&words[t >> 5u], 1u << (t & 31u)); }
  workgroupBarrier();
  let word = t & 31u;
  if (live && word == 0u && j / 32 < p.words) { storeU(bitsAt(list, i) + u32(j / 32) * 4u, atomicLoad(&words[t >> 5u])); }
}
