//! params LabelTokensParams
//! use group, map-rows, lines
//! extra elements: u32
// The tokens of chosen labels, and the first and last ones of what a row sees.
//
//   map     no memory: rows and what they see of the tokens
//   chosen  i32 [B, L, Tq, labelWords]   contiguous: bits of labels
//   labels  i32 [B, L / group, Tk]       any strides, last axis contiguous
//   bits    i32 [B, L, Tq, words]        contiguous
//
// Thread: one word.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = i32(e) / p.words;
  let first = (i32(e) - item * p.words) * 32;
  let at = lineOf(item);
  let chosen = p.chosen + u32(item * p.labelWords) * 4u;
  let labels = p.labels + u32(at.batch * p.labelsStrideB + (at.head / p.group) * p.labelsStrideH) * 4u;
  let seen = visibleColumns(at.row);
  var word = 0u;
  for (var j = first; j < min(seen, first + 32); j += 1) {
    var taken = j < p.first || j >= seen - p.last;
    if (!taken) {
      let label = loadU(labels + u32(j) * 4u);
      taken = label < u32(p.count) && ((loadU(chosen + (label >> 5u) * 4u) >> (label & 31u)) & 1u) != 0u;
    }
    word |= u32(taken) << u32(j - first);
  }
  storeU(p.bits + e * 4u, word);
}
