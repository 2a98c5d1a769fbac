// What a chunk adds to the state: keys^T v, and behind it, where there is a normalizer, the sum of the keys.
//
//   keys    f32 [chunks][64][kp]   of linear-prepare
//   v       any storage [B, T, HV, V]
//   states  f32 [chunks][kp][vp]   then f32 [kp] with a normalizer; stateBytes apart
//
// Group: 64 x 64 elements of a chunk and head, 128 threads; a thread has 8 x 4.

var<workgroup> ks: array<vec4f, 256>;
var<workgroup> vs: array<vec4f, 256>;

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
  let vFirst = c.batch * p.vStrideB + c.start * p.vStrideT + i32(head) * p.vStrideH;
  let quad = t % 16u;
  let token = t / 16u;
  let k = row + quad * 4u;
  let v = column + quad * 4u;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  var s4 = vec4f();
  var s5 = vec4f();
  var s6 = vec4f();
  var s7 = vec4f();
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
    var va = vec4f();
    var vb = vec4f();
    if (has(c, ja)) { va = row4(p.vType, p.v, vFirst + i32(ja) * p.vStrideT, v, u32(p.dv)); }
    if (has(c, jb)) { vb = row4(p.vType, p.v, vFirst + i32(jb) * p.vStrideT, v, u32(p.dv)); }
    workgroupBarrier();
    ks[t] = ka;
    ks[t + 128u] = kb;
    vs[t] = va;
    vs[t + 128u] = vb;
    workgroupBarrier();
    for (var r = 0u; r < 256u; r += 16u) {
      let kx = ks[r + token];
      let ky = ks[r + token + 8u];
      let vv = vs[r + quad];
      s0 = fma(vec4f(kx.x), vv, s0);
      s1 = fma(vec4f(kx.y), vv, s1);
      s2 = fma(vec4f(kx.z), vv, s2);
      s3 = fma(vec4f(kx.w), vv, s3);
      s4 = fma(vec4f(ky.x), vv, s4);
      s5 = fma(vec4f(ky.y), vv, s5);
      s6 = fma(vec4f(ky.z), vv, s6);
      s7 = fma(vec4f(ky.w), vv, s7);
    }
    if (p.normalizer != 0 && column == 0u && t < 16u) {
      for (var r = t; r < 256u; r += 16u) { z += ks[r]; }
    }
  }
  let state = p.states + chunk * p.stateBytes;
  if (p.normalizer != 0 && column == 0u && t < 16u && k < p.kp) { storeF4(state + (p.kp * p.vp + k) * 4u, z); }
  if (v >= p.vp) { return; }
  let step = p.vp * 4u;
  let ra = row + token * 4u;
  if (ra < p.kp) {
    let at = state + ra * step + v * 4u;
    storeF4(at, s0);
    storeF4(at + step, s1);
    storeF4(at + 2u * step, s2);
    storeF4(at + 3u * step, s3);
  }
  let rb = ra + 32u;
  if (rb < p.kp) {
    let at = state + rb * step + v * 4u;
    storeF4(at, s4);
    storeF4(at + step, s5);
    storeF4(at + 2u * step, s6);
    storeF4(at + 3u * step, s7);
  }
}
