//! use attended-head
//! const ROWS, PARTS, V_VECTORS, V_UNITS, V_PASSES, V_LANES, SUMS
// The end of a workgroup's span of keys: what its 128 threads have summed up goes to each row's partial result, o, unnormalised, then m and l.
// V_LANES threads lie along a row, 128 / V_LANES have keys of their own; 128 / ROWS threads share a row's l and have its m.

var<workgroup> parts: array<f32, PARTS>;
var<workgroup> reduced: array<f32, 128>;

fn writePartials(t: u32, out: u32, stride: u32, top: f32, l: f32, sums: ptr<function, array<vec4f, SUMS>>) {
  reduced[t] = l;
  for (var i = 0u; i < SUMS; i++) {
    parts[i * 512u + t] = (*sums)[i].x;
    parts[i * 512u + 128u + t] = (*sums)[i].y;
    parts[i * 512u + 256u + t] = (*sums)[i].z;
    parts[i * 512u + 384u + t] = (*sums)[i].w;
  }
  workgroupBarrier();
  for (var x = t; x < SUMS * V_LANES; x += 128u) {
    let i = x / V_LANES;
    let r = i / (V_VECTORS * V_PASSES);
    let u = x % V_LANES + (i / V_VECTORS) % V_PASSES * V_LANES;
    if (u < V_UNITS && r < live) {
      var sum = vec4f();
      for (var g = x % V_LANES; g < 128u; g += V_LANES) {
        let at = i * 512u + g;
        sum += vec4f(parts[at], parts[at + 128u], parts[at + 256u], parts[at + 384u]);
      }
      storeF4(out + r * stride + (u * V_VECTORS + i % V_VECTORS) * 16u, sum);
    }
  }
  let lanes = 128u / ROWS;
  let row = t / lanes;
  if (t % lanes == 0u && row < live) {
    var total = l;
    for (var x = 1u; x < lanes; x++) { total += reduced[t + x]; }
    storeF4(out + row * stride + u32((p.dv + 7) & ~7) * 4u, vec4f(top, total, 0.0, 0.0));
  }
}
