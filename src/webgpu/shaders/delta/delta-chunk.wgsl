//! params DeltaParams
//! extra first: i32, count: i32, scratch: u32
//! use group, storage, special, delta-sequence, delta-units, delta-factors
//! const C, NT, ERASES
// What is a chunk's own in the delta rule with one decay a token, or none: A, q k^T, and its rows decayed from its start and to its end.
//
// Operands as in the shader `delta`; what is written as in `delta-units`. Decays between two tokens are differences of sums of logs, each of
// multiples of 1/64, whose sums and differences are exact, and of what is left, which stays small. A decay below e^-40 leaves nothing and is
// counted apart.
//
// Workgroup: one unit. Thread: 4 x 4 of each product.

const C4 = C / 4u;
const SLICE = 16u;

// [16][C] of k, q and, where it is not k, a
var<workgroup> slices: array<vec4f, select(2u, 3u, ERASES) * SLICE * C4>;
// (sums of logs up to a token: of multiples of 1/64, of the rest; walls up to it)
var<workgroup> sums: array<vec3f, C>;

// The decay from after `b` to `a`.
fn between(a: vec3f, b: vec3f) -> f32 { return select(0.0, exp(min((a.x - b.x) + (a.y - b.y), 0.0)), a.z == b.z); }
fn fromStart(a: vec3f) -> f32 { return select(0.0, exp(a.x + a.y), a.z == 0.0); }

// Sums up to each token.
fn openSums(c: DeltaChunk, head: i32, t: u32) {
  if (t < C) {
    var x = vec3f();
    if (p.gateKind != 0 && i32(t) < c.length) {
      let gates = deltaGates(c.batch, head);
      let g = loadF(gates.base + u32(gates.at + (c.start + i32(t)) * gates.stride) * 4u);
      let wall = g < -40.0 || isNegativeInfinity(g);
      let whole = round(max(g, -40.0) * 64.0) / 64.0;
      x = select(vec3f(whole, g - whole, 0.0), vec3f(0.0, 0.0, 1.0), wall);
    }
    sums[t] = x;
  }
  for (var step = 1u; step < C; step = step * 2u) {
    workgroupBarrier();
    var x = vec3f();
    if (t < C && t >= step) { x = sums[t - step]; }
    workgroupBarrier();
    if (t < C) { sums[t] += x; }
  }
  workgroupBarrier();
}

fn turned(a: vec4f, b: vec4f, c: vec4f, d: vec4f) -> mat4x4f { return transpose(mat4x4f(a, b, c, d)); }

@compute @workgroup_size(NT)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let slot = p.first + i32(group) / p.heads;
  let head = i32(group) % p.heads;
  let c = deltaChunk(slot, t);
  if (c.length <= 0) { return; }
  openFactors(c, head, t);
  openSums(c, head, t);
  let unit = unitAt(slot, head);
  let left = leftOf(unit);
  let end = sums[C - 1u];
  let ti = t / C4;
  let tj = t % C4;
  let kRows = deltaKeys(c.batch, head);
  let qRows = deltaQueries(c.batch, head);
  let aRows = deltaErasers(c.batch, head);
  var a0 = vec4f();
  var a1 = vec4f();
  var a2 = vec4f();
  var a3 = vec4f();
  var b0 = vec4f();
  var b1 = vec4f();
  var b2 = vec4f();
  var b3 = vec4f();
  for (var d0 = 0u; d0 < kp(); d0 += SLICE) {
    workgroupBarrier();
    for (var n = t; n < C; n += NT) {
      // four rows and four of the slice's elements
      let quad = n / 4u;
      let d = d0 + (n % 4u) * 4u;
      let row = quad * 4u;
      let k = fourByFour(kRows, c, row, i32(d));
      let q = fourByFour(qRows, c, row, i32(d));
      let f0 = factors[row];
      let f1 = factors[row + 1u];
      let f2 = factors[row + 2u];
      let f3 = factors[row + 3u];
      let s0 = sums[row];
      let s1 = sums[row + 1u];
      let s2 = sums[row + 2u];
      let s3 = sums[row + 3u];
      let opening = vec4f(fromStart(s0), fromStart(s1), fromStart(s2), fromStart(s3));
      let asked = opening * vec4f(f0.y, f1.y, f2.y, f3.y);
      let kept = vec4f(f0.x * between(end, s0), f1.x * between(end, s1), f2.x * between(end, s2), f3.x * between(end, s3));
      var erased = opening;
      if (p.readsOld != 0) {
        var last = 1.0;
        if (row > 0u) { last = fromStart(sums[row - 1u]); }
        erased = vec4f(last, opening.xyz);
      }
      erased *= vec4f(f0.z * f0.w, f1.z * f1.w, f2.z * f2.w, f3.z * f3.w);
      var a = k;
      if (ERASES) { a = fourByFour(aRows, c, row, i32(d)); }
      let w = transpose(mat4x4f(a[0] * erased, a[1] * erased, a[2] * erased, a[3] * erased));
      @unroll-guarded for (var e = 0u; e < 4u; e++) {
        let to = (n % 4u * 4u + e) * C4 + quad;
        slices[to] = k[e];
        slices[SLICE * C4 + to] = q[e];
        if (ERASES) { slices[2u * SLICE * C4 + to] = a[e]; }
        storeF4(left + ((d + e) * C4 + quad) * 16u, q[e] * asked);
        storeF4(keysOf(unit) + (quad * kp() + d + e) * 16u, k[e] * kept);
        storeF4(wOf(unit) + (d / 4u * C + row + e) * 16u, w[e]);
      }
    }
    workgroupBarrier();
    @unroll-guarded for (var d = 0u; d < 16u; d++) {
      let k = slices[d * C4 + tj];
      let q = slices[SLICE * C4 + d * C4 + ti];
      let a = slices[select(0u, 2u * SLICE * C4, ERASES) + d * C4 + ti];
      a0 = fma(vec4f(a.x), k, a0);
      a1 = fma(vec4f(a.y), k, a1);
      a2 = fma(vec4f(a.z), k, a2);
      a3 = fma(vec4f(a.w), k, a3);
      b0 = fma(vec4f(q.x), k, b0);
      b1 = fma(vec4f(q.y), k, b1);
      b2 = fma(vec4f(q.z), k, b2);
      b3 = fma(vec4f(q.w), k, b3);
    }
  }

  let a = turned(a0, a1, a2, a3);
  let b = turned(b0, b1, b2, b3);
  let i = ti * 4u;
  @unroll-guarded for (var e = 0u; e < 4u; e++) {
    let j = tj * 4u + e;
    let key = factors[j].x;
    let written = sums[j];
    var x = vec4f();
    var y = vec4f();
    @unroll-guarded for (var r = 0u; r < 4u; r++) {
      let f = factors[i + r];
      let decay = between(sums[i + r], written);
      if (j <= i + r) { y[r] = decay * key * f.y; }
      if (j < i + r) {
        var reading = decay;
        if (p.readsOld != 0) { reading = between(sums[i + r - 1u], written); }
        x[r] = reading * key * f.z * f.w;
      }
    }
    storeF4(unit + (j * C4 + ti) * 16u, a[e] * x);
    storeF4(left + ((kp() + j) * C4 + ti) * 16u, b[e] * y);
  }
  for (var n = t; n < kp() / 4u; n += NT) { storeF4(decaysOf(unit) + n * 16u, vec4f(fromStart(end))); }
}
