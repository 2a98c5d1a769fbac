// What a chunk of 64 tokens i, j with one gate a token, or none, is made of. G: sums of gates since the chunk began, up to token i, or
// with `exclusive` up to the one before as row i reads them.
//
//   left    f32 [groups][64 + kp][64]   A_ij = scale weight_j e^(G_i - G_j) q_i k_j for j <= i (j < i), transposed: [j][i];
//                                       then queries scale e^G_i q_i: [k][i]
//   keys    f32 [groups][64][kp]        weight_j e^(G_end - G_j) k_j
//   decays  f32 [groups][kp]            e^G_end
//
// kp: K rounded up to 16; what pads tokens and keys is zero. Sums are of two floats, so that after strong decays weak ones keep their
// digits. Yang 2023 (the chunk form). Group: a chunk and head, 128 threads; a thread has 8 x 4 products.

const STRONGEST = -1000.0;

var<workgroup> qs: array<vec4f, 256>;
var<workgroup> ks: array<vec4f, 256>;
var<workgroup> highs: array<f32, 64>;
var<workgroup> lows: array<f32, 64>;
var<workgroup> qFactors: array<f32, 64>;
var<workgroup> kFactors: array<f32, 64>;
var<workgroup> weights: array<f32, 64>;

// G_i - G_j for four rows and token j.
fn rise(rows: vec4u, j: u32) -> vec4f {
  let high = vec4f(highs[rows.x], highs[rows.y], highs[rows.z], highs[rows.w]) - highs[j];
  let low = vec4f(lows[rows.x], lows[rows.y], lows[rows.z], lows[rows.w]) - lows[j];
  return high + low;
}

// Factors of four rows on the products with token j.
fn share(i: u32, j: u32, lag: u32) -> vec4f {
  let rows = vec4u(i, i + 1u, i + 2u, i + 3u);
  var x = vec4f(p.scale * weights[j]);
  if (p.gateKind != 0) { x *= exp(min(rise(max(rows, vec4u(lag)) - lag, j), vec4f(80.0))); }
  return select(vec4f(), x * levels4(i, j), rows >= vec4u(j + lag));
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let head = group % heads;
  let c = chunkAt(p.slot + group / heads);
  let reads = (p.mode & 1) != 0;
  let writes = (p.mode & 2) != 0;
  let lag = select(0u, 1u, p.exclusive != 0);
  if (t < 64u) {
    var g = 0.0;
    if (p.gateKind != 0 && has(c, t)) {
      let row = c.batch * p.gStrideB + (c.start + i32(t)) * p.gStrideT + i32(head) / p.gateGroup * p.gStrideH;
      g = max(loadF(p.g + u32(row) * 4u), STRONGEST);
    }
    highs[t] = g;
    lows[t] = 0.0;
    var weight = 1.0;
    if (p.weight != 0u && has(c, t)) { weight = loadF(tokenAt(p.weight, c, t, head)); }
    weights[t] = weight;
  }
  openLevels(c, head, t);
  if (p.gateKind != 0) {
    for (var step = 1u; step < 64u; step *= 2u) {
      workgroupBarrier();
      let own = vec2f(highs[t & 63u], lows[t & 63u]);
      let other = vec2f(highs[(t - step) & 63u], lows[(t - step) & 63u]);
      workgroupBarrier();
      if (t >= step && t < 64u) {
        let sum = addPairs(own, other);
        highs[t] = sum.x;
        lows[t] = sum.y;
      }
    }
  }
  workgroupBarrier();
  if (t < 64u) {
    let end = (highs[63] - highs[t]) + (lows[63] - lows[t]);
    let i = max(t, lag) - lag;
    let e = decay4(vec4f(select(highs[i], 0.0, t < lag), end, 0.0, 0.0));
    qFactors[t] = p.scale * e.x * (1.0 + select(lows[i], 0.0, t < lag));
    kFactors[t] = weights[t] * e.y;
  }
  workgroupBarrier();
  if (writes) { closeChunk(group, t, highs[63], lows[63]); }

  // a thread brings four tokens of four elements of q or k
  let tokens = t % 16u;
  let quad = (t / 16u) % 4u;
  let isKey = t >= 64u;
  let wanted = select(reads, writes, isKey);
  let keyHead = i32(head) / p.group;
  let strideT = select(p.qStrideT, p.kStrideT, isKey);
  let first = select(
    c.batch * p.qStrideB + keyHead * p.qStrideH,
    c.batch * p.kStrideB + keyHead * p.kStrideH,
    isKey,
  ) + (c.start + i32(tokens * 4u)) * strideT;
  let base = select(p.q, p.k, isKey);
  let kind = select(p.qType, p.kType, isKey);
  let inside = vec4<bool>(
    wanted && has(c, tokens * 4u),
    wanted && has(c, tokens * 4u + 1u),
    wanted && has(c, tokens * 4u + 2u),
    wanted && has(c, tokens * 4u + 3u),
  );
  let dk = u32(p.dk);
  let left = p.left + group * (CHUNK + p.kp) * 256u;
  let keys = p.keys + group * p.kp * 256u;
  let rq = t % 8u;
  let cq = t / 8u;
  var a0 = vec4f();
  var a1 = vec4f();
  var a2 = vec4f();
  var a3 = vec4f();
  var b0 = vec4f();
  var b1 = vec4f();
  var b2 = vec4f();
  var b3 = vec4f();
  for (var k0 = 0u; k0 < p.kp; k0 += 16u) {
    let k = k0 + quad * 4u;
    var x0 = vec4f();
    var x1 = vec4f();
    var x2 = vec4f();
    var x3 = vec4f();
    if (inside.x) { x0 = row4(kind, base, first, k, dk); }
    if (inside.y) { x1 = row4(kind, base, first + strideT, k, dk); }
    if (inside.z) { x2 = row4(kind, base, first + 2 * strideT, k, dk); }
    if (inside.w) { x3 = row4(kind, base, first + 3 * strideT, k, dk); }
    let y0 = vec4f(x0.x, x1.x, x2.x, x3.x);
    let y1 = vec4f(x0.y, x1.y, x2.y, x3.y);
    let y2 = vec4f(x0.z, x1.z, x2.z, x3.z);
    let y3 = vec4f(x0.w, x1.w, x2.w, x3.w);
    let i = tokens * 4u;
    workgroupBarrier();
    if (isKey) {
      ks[(quad * 4u) * 16u + tokens] = y0;
      ks[(quad * 4u + 1u) * 16u + tokens] = y1;
      ks[(quad * 4u + 2u) * 16u + tokens] = y2;
      ks[(quad * 4u + 3u) * 16u + tokens] = y3;
      if (writes) {
        let at = keys + (i * p.kp + k) * 4u;
        storeF4(at, x0 * kFactors[i]);
        storeF4(at + p.kp * 4u, x1 * kFactors[i + 1u]);
        storeF4(at + p.kp * 8u, x2 * kFactors[i + 2u]);
        storeF4(at + p.kp * 12u, x3 * kFactors[i + 3u]);
      }
    } else {
      qs[(quad * 4u) * 16u + tokens] = y0;
      qs[(quad * 4u + 1u) * 16u + tokens] = y1;
      qs[(quad * 4u + 2u) * 16u + tokens] = y2;
      qs[(quad * 4u + 3u) * 16u + tokens] = y3;
      if (reads) {
        let factors = vec4f(qFactors[i], qFactors[i + 1u], qFactors[i + 2u], qFactors[i + 3u]);
        let at = left + (CHUNK + k) * 256u + i * 4u;
        storeF4(at, y0 * factors);
        storeF4(at + 256u, y1 * factors);
        storeF4(at + 512u, y2 * factors);
        storeF4(at + 768u, y3 * factors);
      }
    }
    workgroupBarrier();
    if (reads && writes) {
      for (var r = 0u; r < 256u; r += 16u) {
        let qa = qs[r + rq];
        let qb = qs[r + rq + 8u];
        let kk = ks[r + cq];
        a0 = fma(qa, vec4f(kk.x), a0);
        a1 = fma(qa, vec4f(kk.y), a1);
        a2 = fma(qa, vec4f(kk.z), a2);
        a3 = fma(qa, vec4f(kk.w), a3);
        b0 = fma(qb, vec4f(kk.x), b0);
        b1 = fma(qb, vec4f(kk.y), b1);
        b2 = fma(qb, vec4f(kk.z), b2);
        b3 = fma(qb, vec4f(kk.w), b3);
      }
    }
  }
  if (reads && writes) {
    let j = cq * 4u;
    let i = rq * 4u;
    let at = left + j * 256u + i * 4u;
    storeF4(at, a0 * share(i, j, lag));
    storeF4(at + 256u, a1 * share(i, j + 1u, lag));
    storeF4(at + 512u, a2 * share(i, j + 2u, lag));
    storeF4(at + 768u, a3 * share(i, j + 3u, lag));
    storeF4(at + 128u, b0 * share(i + 32u, j, lag));
    storeF4(at + 384u, b1 * share(i + 32u, j + 1u, lag));
    storeF4(at + 640u, b2 * share(i + 32u, j + 2u, lag));
    storeF4(at + 896u, b3 * share(i + 32u, j + 3u, lag));
  }
}
