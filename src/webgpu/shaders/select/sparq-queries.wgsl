//! params SparqQueryParams
//! use group, storage, ordered, workgroup-sum
// Queries of which only the channels that are largest in a group of heads are left, with the softmax temperature of what is left.
//
//   q         f32, f16 or bf16 [B, Tq, H, d]   any strides, last axis contiguous; d at most 1024
//   masked    f32 [B, Tq, H, d]                contiguous: zeros but for the channels
//   channels  i32 [B, Tq, H / group, r]        contiguous, ascending
//
//   channels: the r largest sums of |q| over the heads of a group; masked_c = scale sqrt(|q|_1 / |q_r|_1) q_c. SparQ (Ribar 2023).
//
// Workgroup: one (batch, token, group).

var<workgroup> numbers: array<u32, 1024>;
var<workgroup> taken: array<u32, 1024>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  let groups = p.heads / p.group;
  let token = item / groups;
  let first = (item - token * groups) * p.group;
  let batch = token / p.length;
  let q = batch * p.qStrideB + (token - batch * p.length) * p.qStrideT;
  let d = u32(p.d);
  for (var c = t; c < d; c += 256u) {
    var sum = 0.0;
    for (var g = 0; g < p.group; g += 1) { sum += abs(loadAs(p.qType, p.q, q + (first + g) * p.qStrideH + i32(c))); }
    numbers[c] = orderedBits(bitcast<u32>(sum));
  }
  workgroupBarrier();
  for (var c = t; c < d; c += 256u) {
    var rank = 0u;
    for (var x = 0u; x < d; x += 1u) { rank += u32(numbers[x] > numbers[c] || (numbers[x] == numbers[c] && x < c)); }
    taken[c] = u32(rank < u32(p.r));
  }
  workgroupBarrier();
  for (var c = t; c < d; c += 256u) {
    if (taken[c] == 0u) { continue; }
    var at = 0u;
    for (var x = 0u; x < c; x += 1u) { at += taken[x]; }
    storeU(p.channels + (u32(item * p.r) + at) * 4u, c);
  }
  for (var g = 0; g < p.group; g += 1) {
    let row = q + (first + g) * p.qStrideH;
    var all = 0.0;
    var some = 0.0;
    for (var c = t; c < d; c += 256u) {
      let size = abs(loadAs(p.qType, p.q, row + i32(c)));
      all += size;
      if (taken[c] != 0u) { some += size; }
    }
    all = workgroupSum(t, all);
    some = workgroupSum(t, some);
    var factor = p.scale;
    if (some > 0.0) { factor *= sqrt(all / some); }
    for (var c = t; c < d; c += 256u) {
      var x = 0.0;
      if (taken[c] != 0u) { x = loadAs(p.qType, p.q, row + i32(c)) * factor; }
      storeF(p.masked + (u32(token * p.heads + first + g) * d + c) * 4u, x);
    }
  }
}
