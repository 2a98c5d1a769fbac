//! params LinearParams
//! extra slot: u32, perSequence: u32, kp: u32, left: u32, keys: u32, decays: u32
//! use group, storage, linear-slots, decay, row4
// As linear-prepare, with a gate for each row of the state, or gates that are decays: A_ij = scale weight_j sum_k q_ik k_jk P_ij,
// P_ij the product of decays of row k behind token j up to i (`exclusive`: up to the one before i).
//
// Nothing is ever divided by a decay. A chunk is four parts of 16 tokens. Where i and j are in parts of their own, P_ij is the product
// up to the end of j's part, of the parts between, and of i's part up to i; within one part decays are multiplied one by one.
// With `tied` k is 1 - decay. Yang 2023 (GLA). Group: a chunk and head, 128 threads.

// rows of 16 elements of 64 tokens, five vectors apart so that rows lie in banks of their own
var<workgroup> qs: array<vec4f, 320>;
var<workgroup> ks: array<vec4f, 320>;
var<workgroup> ds: array<vec4f, 320>;
// product of the decays of a part
var<workgroup> totals: array<vec4f, 16>;

// Products of four rows with a key.
fn dots(q: u32, k: vec4f) -> vec4f {
  return vec4f(dot(qs[q], k), dot(qs[q + 5u], k), dot(qs[q + 10u], k), dot(qs[q + 15u], k));
}

// Products of four rows of a part, from row i on, with its token j.
fn within(part: u32, i: u32, j: u32, quad: u32) -> vec4f {
  let first = part * 80u + quad;
  var k = ks[first + j * 5u];
  for (var s = j + 1u; s < i; s += 1u) { k *= ds[first + s * 5u]; }
  var x = vec4f();
  for (var e = 0u; e < 4u; e += 1u) {
    let at = first + (i + e) * 5u;
    var product = 0.0;
    if (p.exclusive != 0) {
      if (i + e > j) {
        product = dot(qs[at], k);
        k *= ds[at];
      }
    } else {
      if (i + e > j) { k *= ds[at]; }
      if (i + e >= j) { product = dot(qs[at], k); }
    }
    x = select(x, vec4f(product), vec4u(0u, 1u, 2u, 3u) == vec4u(e));
  }
  return x;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let head = group % heads;
  let c = chunkAt(p.slot + group / heads);
  let reads = (p.mode & 1) != 0;
  let dk = u32(p.dk);
  let left = p.left + group * (CHUNK + p.kp) * 256u;
  let keys = p.keys + group * p.kp * 256u;
  let keyHead = i32(head) / p.group;
  let qFirst = c.batch * p.qStrideB + c.start * p.qStrideT + keyHead * p.qStrideH;
  let kFirst = c.batch * p.kStrideB + c.start * p.kStrideT + keyHead * p.kStrideH;
  let gFirst = c.batch * p.gStrideB + c.start * p.gStrideT + i32(head) / p.gateGroup * p.gStrideH;
  // a thread brings one vector of two tokens
  let quad = t % 4u;
  let tokens = array<u32, 2>(t / 4u, t / 4u + 32u);
  // and has four rows against one key of some pairs of parts
  let half = t / 64u;
  let iq = t % 4u;
  let j = (t % 64u) / 4u;
  var own0 = vec4f();
  var own1 = vec4f();
  var far0 = vec4f();
  var far1 = vec4f();
  var far2 = vec4f();
  for (var k0 = 0u; k0 < p.kp; k0 += 16u) {
    let k = k0 + quad * 4u;
    for (var u = 0u; u < 2u; u += 1u) {
      let token = i32(tokens[u]);
      var q = vec4f();
      var key = vec4f();
      var decay = vec4f(1.0);
      if (has(c, tokens[u]) && k < dk) {
        if (reads) { q = p.scale * row4(p.qType, p.q, qFirst + token * p.qStrideT, k, dk); }
        var g: vec4f;
        if (p.gateKind == 1) {
          g = vec4f(loadF(p.g + u32(gFirst + token * p.gStrideT) * 4u));
        } else {
          g = row4(0, p.g, gFirst + token * p.gStrideT, k, dk);
        }
        decay = g;
        if (p.gateLinear == 0) { decay = decay4(g); }
        if (p.tied != 0) {
          key = 1.0 - decay;
          if (p.gateLinear == 0) { key = fall4(g); }
        } else {
          key = row4(p.kType, p.k, kFirst + token * p.kStrideT, k, dk);
        }
        // rows that pad the state hold nothing
        let inside = vec4u(k, k + 1u, k + 2u, k + 3u) < vec4u(dk);
        decay = select(vec4f(1.0), decay, inside);
        key = select(vec4f(), key, inside);
        if (p.weight != 0u) { key *= loadF(tokenAt(p.weight, c, tokens[u], head)); }
      }
      let at = tokens[u] * 5u + quad;
      qs[at] = q;
      ks[at] = key;
      ds[at] = decay;
    }
    workgroupBarrier();
    if (reads) {
      for (var n = 0u; n < 4u; n += 1u) {
        own0 += within(half * 2u, iq * 4u, j, n);
        own1 += within(half * 2u + 1u, iq * 4u, j, n);
      }
    }
    // decays of the part before a token and behind it
    var before = array<vec4f, 2>(vec4f(1.0), vec4f(1.0));
    var behind = array<vec4f, 2>(vec4f(1.0), vec4f(1.0));
    for (var u = 0u; u < 2u; u += 1u) {
      let part = tokens[u] / 16u;
      let place = tokens[u] % 16u;
      var all = vec4f(1.0);
      for (var s = 0u; s < 16u; s += 1u) {
        let d = ds[(part * 16u + s) * 5u + quad];
        let reached = select(s <= place, s < place, p.exclusive != 0);
        if (reached) { before[u] *= d; }
        if (s > place) { behind[u] *= d; }
        all *= d;
      }
      if (place == 0u) { totals[part * 4u + quad] = all; }
    }
    workgroupBarrier();
    for (var u = 0u; u < 2u; u += 1u) {
      let at = tokens[u] * 5u + quad;
      qs[at] *= before[u];
      let key = ks[at] * behind[u];
      ks[at] = key;
      var rest = vec4f(1.0);
      for (var part = tokens[u] / 16u + 1u; part < 4u; part += 1u) { rest *= totals[part * 4u + quad]; }
      storeF4(keys + (tokens[u] * p.kp + k) * 4u, key * rest);
    }
    if (t < 4u) {
      let all = (totals[t] * totals[4u + t]) * (totals[8u + t] * totals[12u + t]);
      storeF4(p.decays + (group * p.kp + k0 + t * 4u) * 4u, all);
    }
    workgroupBarrier();
    if (reads) {
      for (var u = t; u < 256u; u += 128u) {
        let i = (u % 16u) * 4u;
        let n = u / 64u;
        let e = (u / 16u) % 4u;
        var rest = 1.0;
        for (var part = 0u; part < i / 16u; part += 1u) { rest *= totals[part * 4u + n][e]; }
        let at = i * 5u + n;
        let q = vec4f(qs[at][e], qs[at + 5u][e], qs[at + 10u][e], qs[at + 15u][e]);
        storeF4(left + (CHUNK + k0 + n * 4u + e) * 256u + i * 4u, q * rest);
      }
      for (var n = 0u; n < 4u; n += 1u) {
        let row = iq * 20u + n;
        let key = j * 5u + n;
        if (half == 0u) {
          far0 += dots(row + 80u, ks[key]);
          far1 += dots(row + 160u, ks[key] * totals[4u + n]);
          far2 += dots(row + 160u, ks[key + 80u]);
        } else {
          far0 += dots(row + 240u, ks[key] * totals[4u + n] * totals[8u + n]);
          far1 += dots(row + 240u, ks[key + 80u] * totals[8u + n]);
          far2 += dots(row + 240u, ks[key + 160u]);
        }
      }
    }
    workgroupBarrier();
  }
  if (!reads) { return; }
  let at = left + j * 256u + iq * 16u;
  let part = half * 2u;
  storeF4(at + part * 4160u, own0);
  storeF4(at + part * 4160u + 4160u, own1);
  // part b of tokens j lies 4096 b bytes on, part a of rows 64 a
  if (half == 0u) {
    storeF4(at + 64u, far0);
    storeF4(at + 128u, far1);
    storeF4(at + 4096u + 128u, far2);
    storeF4(at + 4096u, vec4f());
    storeF4(at + 8192u, vec4f());
    storeF4(at + 8192u + 64u, vec4f());
  } else {
    storeF4(at + 192u, far0);
    storeF4(at + 4096u + 192u, far1);
    storeF4(at + 8192u + 192u, far2);
    storeF4(at + 12288u, vec4f());
    storeF4(at + 12288u + 64u, vec4f());
    storeF4(at + 12288u + 128u, vec4f());
  }
}
