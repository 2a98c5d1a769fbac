//! enable subgroups
// Maxima and sums over the TN neighbouring threads that share a thread's rows, within a subgroup.

fn lanesMax(x: vec4f, t: u32) -> vec4f {
  var y = x;
  for (var b = 1u; b < TN; b = b << 1u) { y = max(y, subgroupShuffleXor(y, b)); }
  return y;
}
fn lanesSum(x: vec4f, t: u32) -> vec4f {
  var y = x;
  for (var b = 1u; b < TN; b = b << 1u) { y += subgroupShuffleXor(y, b); }
  return y;
}
