//! params PoolVotesParams
//! use group
//! extra elements: u32
// Votes of the heads that share a key/value head, added up and pooled with their neighbours.
//
//   sums   f32 [B, H, T]     weights that each key got; contiguous
//   votes  f32 [B, Hkv, T]   contiguous; must not alias sums
//
//   s_j = sum of the group's sums_j for the first `prefix` keys; beyond them, and before the first, s is 0 for means, absent for maxima.
//   votes_j = sum_{|i - j| <= r} s_i / (2 r + 1), or the largest of them, r = (kernelSize - 1) / 2; 0 from `prefix` on. SnapKV (Li 2024).
//
// Thread: one vote.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = i32(e) / p.length;
  let j = i32(e) - item * p.length;
  var vote = 0.0;
  if (j < p.prefix) {
    let radius = p.kernelSize / 2;
    let first = max(0, j - radius);
    let last = min(p.prefix - 1, j + radius);
    for (var i = first; i <= last; i += 1) {
      var sum = 0.0;
      for (var r = 0; r < p.group; r += 1) { sum += loadF(p.sums + u32((item * p.group + r) * p.length + i) * 4u); }
      if (p.largest == 0) { vote += sum; }
      else if (i == first || sum > vote) { vote = sum; }
    }
    if (p.largest == 0) { vote *= 1.0 / f32(p.kernelSize); }
  }
  storeF(p.votes + e * 4u, vote);
}
