//! params SamplingBiasParams
//! use group, storage, list-entries
//! const Q_TYPE, K_TYPE
//! extra spans: u32
// What the logits of sampled keys lack: -ln(u + 1e-4), u the probability that a key at that angle meets the query in two tables or more.
//
//   q        f32, f16 or bf16 [B, Tq, L, d]           any strides, last axis contiguous
//   k        f32, f16 or bf16 [B, Tk, L / group, d]   likewise
//   mean     f32 [B, L / group, d]                    contiguous: what keys are centred by
//   indices  i32 [B, L, Tq, width], counts i32 [B, L, Tq]   contiguous
//   o        f32 [B, L, Tq, width]                    contiguous; as far as counts go
//
//   p = 1 - angle(q, k - mean) / pi,  u = 1 - (1 - p^K)^T - T p^K (1 - p^K)^(T-1) for T tables of K bits. MagicPIG (Chen 2024).
//
// Workgroup: 32 entries of one row.

const PI = 3.141592653589793;

// Angle of a cosine from 0 to 1: sqrt(1 - x) times a polynomial (Hastings 1955).
fn angleOf(x: f32) -> f32 {
  var y = -0.0012624911;
  y = y * x + 0.0066700901;
  y = y * x - 0.0170881256;
  y = y * x + 0.030891881;
  y = y * x - 0.0501743046;
  y = y * x + 0.0889789874;
  y = y * x - 0.2145988016;
  y = y * x + 1.570796305;
  return sqrt(max(0.0, 1.0 - x)) * y;
}

fn power(base: f32, exponent: i32) -> f32 {
  var result = 1.0;
  var x = base;
  for (var n = exponent; n > 0; n >>= 1u) {
    if ((n & 1) != 0) { result *= x; }
    x *= x;
  }
  return result;
}

// 1 - (1 - x)^m (1 + m x), the probability of two or more of m + 1 events of probability x.
fn twoOrMore(x: f32, m: f32) -> f32 {
  if (x >= 1.0) { return 1.0; }
  if (m * x >= 0.25) {
    // of a small x the difference to 1 would lose digits that the power needs
    var missed = log(1.0 - min(x, 0.999999));
    if (x < 0.25) {
      missed = 0.0;
      var term = 1.0;
      for (var k = 1.0; k < 13.0; k += 1.0) {
        term *= x;
        missed -= term / k;
      }
    }
    return max(0.0, 1.0 - exp(max(-80.0, m * missed)) * (1.0 + m * x));
  }
  // the logarithm of what is taken from 1, term by term, whose first order is nothing: (-x)^k (-m^k) / k less m x^k / k
  var logarithm = 0.0;
  var one = x;
  var many = m * x;
  var sign = 1.0;
  for (var k = 2.0; k < 13.0; k += 1.0) {
    one *= x;
    many *= m * x;
    sign = -sign;
    logarithm += (sign * many - m * one) / k;
  }
  // exp is near 1
  var series = 1.0;
  for (var k = 8.0; k > 1.0; k -= 1.0) { series = 1.0 + series * logarithm / k; }
  return max(0.0, -logarithm * series);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g / p.spans;
  let entry = entryOf(i32(item), i32((g - item * p.spans) * 32u + t / 8u), p.width);
  let h = entry.h / p.group;
  let q = entry.batch * p.qStrideB + entry.i * p.qStrideT + entry.h * p.qStrideH;
  let k = entry.batch * p.kStrideB + entry.j * p.kStrideT + h * p.kStrideH;
  let mean = p.mean + u32((entry.batch * (p.lists / p.group) + h) * p.d) * 4u;
  var sums = vec3f();
  for (var c = i32(t & 7u); c < p.d; c += 8) {
    let y = loadAs(i32(Q_TYPE), p.q, q + c);
    let x = loadAs(i32(K_TYPE), p.k, k + c) - loadF(mean + u32(c) * 4u);
    sums += vec3f(y * x, x * x, y * y);
  }
  sums = sumEntry(t, sums);
  if ((t & 7u) > 0u || entry.n >= entry.count) { return; }
  var bias = 0.0;
  if (!entry.hidden) {
    let norm = sqrt(sums.y) * sqrt(sums.z);
    var cosine = 0.0;
    if (norm > 0.0) { cosine = clamp(sums.x / norm, -1.0, 1.0); }
    var angle = angleOf(abs(cosine));
    if (cosine < 0.0) { angle = PI - angle; }
    bias = -log(twoOrMore(power(1.0 - angle / PI, p.bits), f32(p.tables - 1)) + 1e-4);
  }
  storeF(p.o + u32(entry.item * p.width + entry.n) * 4u, bias);
}
