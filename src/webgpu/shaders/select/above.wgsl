//! params SelectParams
//! use group, select-span, ordered
//! extra spans: u32
// The columns of each row whose scores are above a threshold.
//
//   map   f32 [B, L, R, C]      columns contiguous; what a row does not see is not read
//   each  f32 [B, L, R]         any strides; threshold of each row
//   bits  i32 [B, L, R, words]  lists any distance apart; bit j & 31 of word j >> 5 for column j
//
// Nothing is above NaN, and NaN above nothing. Workgroup: 256 columns of one row.

var<workgroup> words: array<atomic<u32>, 8>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g / p.spans;
  let j0 = (g - item * p.spans) * 256u;
  let list = i32(item) / p.rows;
  let i = i32(item) - list * p.rows;
  let j = i32(j0 + t);
  let span = spanOf(i);
  if (t < 8u) { atomicStore(&words[t], 0u); }
  workgroupBarrier();
  var taken = isForced(span, j);
  if (isCandidate(span, j) && !taken) {
    var threshold = p.level;
    if (p.each != 0u) { threshold = loadF(eachAt(list, i)); }
    let bits = loadU(mapRow(list, i) + u32(j) * 4u);
    let level = orderedBits(bitcast<u32>(threshold));
    let number = orderedBits(bits);
    taken = level > 1u && number > level;
  }
  if (taken) { atomicOr(&words[t >> 5u], 1u << (t & 31u)); }
  workgroupBarrier();
  let word = i32(j0 / 32u + t);
  if (t < 8u && word < p.words) { storeU(bitsAt(list, i) + u32(word) * 4u, atomicLoad(&words[t])); }
}
