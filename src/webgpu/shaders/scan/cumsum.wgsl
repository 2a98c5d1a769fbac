//! params CumsumParams
//! use group, pair
// Running sum along time in two floats, so that differences of a long sum keep an f32's precision: o_t = factor * sum_{s <= t} x_s.
//
//   x  f32 [B, T, H]      contiguous
//   o  f32 [B, T, H, 2]   contiguous: high and low part, where WebAssembly has an f64; must not alias x
//
// Group: 16 heads of a batch entry; sixteen threads to a head, each with 8 tokens of 128.

const HEADS = 16u;
const LANES = 16u;
const RUN = 8u;

// sums of a head's threads
var<workgroup> highs: array<f32, 256>;
var<workgroup> lows: array<f32, 256>;

// A sum times the factor.
fn scaled(sum: vec2f) -> vec2f {
  return addPairs(exactProduct(sum.x, p.factor), vec2f(sum.y * p.factor, 0.0));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let length = u32(p.length);
  let headGroups = (heads + HEADS - 1u) / HEADS;
  let batch = group / headGroups;
  let head = (group - batch * headGroups) * HEADS + t % HEADS;
  let lane = t / HEADS;
  var carry = vec2f();
  for (var first = 0u; first < length; first += LANES * RUN) {
    let begin = first + lane * RUN;
    var x = array<f32, 8>();
    if (head < heads) {
      for (var i = 0u; i < RUN; i += 1u) {
        if (begin + i < length) { x[i] = loadF(p.x + ((batch * length + begin + i) * heads + head) * 4u); }
      }
    }
    var own = vec2f();
    for (var i = 0u; i < RUN; i += 1u) { own = addPairs(own, vec2f(x[i], 0.0)); }
    workgroupBarrier();
    highs[t] = own.x;
    lows[t] = own.y;
    workgroupBarrier();
    var sum = carry;
    for (var i = 0u; i < LANES; i += 1u) {
      let other = vec2f(highs[i * HEADS + t % HEADS], lows[i * HEADS + t % HEADS]);
      if (i < lane) { sum = addPairs(sum, other); }
      carry = addPairs(carry, other);
    }
    for (var i = 0u; i < RUN; i += 1u) {
      sum = addPairs(sum, vec2f(x[i], 0.0));
      if (head < heads && begin + i < length) {
        let o = scaled(sum);
        let at = p.o + ((batch * length + begin + i) * heads + head) * 8u;
        storeF(at, o.x);
        storeF(at + 4u, o.y);
      }
    }
  }
}
