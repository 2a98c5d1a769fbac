//! use value-rows, product-tile
// What a chunk adds to the state: keys^T v, and behind it, where there is a normalizer, the sum of the keys.
//
//   keys    f32 [chunks][64][kp]   of linear-prepare
//   v       any storage [B, T, HV, V]
//   states  f32 [chunks][kp][vp]   then f32 [kp] with a normalizer; stateBytes apart
//
// Group: 64 x 64 elements of a chunk and head, 128 threads; a thread has 8 x 4.

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let columnTiles = (p.vp + 63u) / 64u;
  let rowTiles = (p.kp + 63u) / 64u;
  let column = (group % columnTiles) * 64u;
  let row = (group / columnTiles % rowTiles) * 64u;
  let chunk = group / (columnTiles * rowTiles);
  let heads = u32(p.heads);
  let head = chunk % heads;
  let c = chunkAt(p.slot + chunk / heads);
  let keys = p.keys + chunk * p.kp * 256u;
  let vFirst = firstValue(c, head);
  let quad = t % 16u;
  let token = t / 16u;
  let k = row + quad * 4u;
  let v = column + quad * 4u;
  var z = vec4f();
  for (var j0 = 0u; j0 < CHUNK; j0 += 16u) {
    let ja = j0 + token;
    let jb = ja + 8u;
    var ka = vec4f();
    var kb = vec4f();
    if (k < p.kp) {
      ka = loadF4(keys + (ja * p.kp + k) * 4u);
      kb = loadF4(keys + (jb * p.kp + k) * 4u);
    }
    shareTerms(t, ka, kb, valueRow(c, vFirst, ja, v), valueRow(c, vFirst, jb, v));
    addProducts(t);
    if (p.normalizer != 0 && column == 0u && t < 16u) {
      for (var r = t; r < 256u; r += 16u) { z += leftTile[r]; }
    }
  }
  let state = p.states + chunk * p.stateBytes;
  if (p.normalizer != 0 && column == 0u && t < 16u && k < p.kp) { storeF4(state + (p.kp * p.vp + k) * 4u, z); }
  if (v >= p.vp) { return; }
  let first = row + token * 4u;
  @unroll for (var half = 0u; half < 2u; half++) {
    if (first + half * 32u < p.kp) {
      @unroll for (var e = 0u; e < 4u; e++) {
        storeF4(state + ((first + half * 32u + e) * p.vp + v) * 4u, sums[half * 4u + e]);
      }
    }
  }
}
