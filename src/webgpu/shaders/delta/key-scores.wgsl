// Scores of four rows by four keys a thread, of BM rows of a workgroup: thread TN m + n has rows 4 m to 4 m + 3 and keys 4 n to 4 n + 3.
// The shader has `queries`, four rows of a channel to a vector, BM / 4 vectors to a channel.

// Keys of `dk` channels, 64 keys to a channel, from an address on.
fn keyScores(keys: u32, dk: u32, m: u32) -> array<vec4f, 4> {
  var x = array<vec4f, 4>();
  for (var d = 0u; d < dk; d++) {
    let key = loadF4(keys + d * 256u);
    let query = queries[d * (BM / 4u) + m];
    @unroll for (var r = 0u; r < 4u; r++) { x[r] = fma(vec4f(query[r]), key, x[r]); }
  }
  return x;
}

// The largest score of each row, over the threads that share it.
fn mostOf(x: array<vec4f, 4>, t: u32) -> vec4f {
  return lanesMax(
    vec4f(
      max(max(x[0].x, x[0].y), max(x[0].z, x[0].w)), max(max(x[1].x, x[1].y), max(x[1].z, x[1].w)),
      max(max(x[2].x, x[2].y), max(x[2].z, x[2].w)), max(max(x[3].x, x[3].y), max(x[3].z, x[3].w))), t);
}
