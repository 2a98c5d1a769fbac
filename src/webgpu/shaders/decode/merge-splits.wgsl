//! use row-end
//! const LANES
// Joins the partials of all splits of a row and writes o and lse, or joins them with what is there; by 128 threads, LANES along a row and
// 128 / LANES splits side by side.
//
//   m = max m_s,  l = sum l_s 2^(m_s - m),  o = sum o_s 2^(m_s - m) / l

var<workgroup> tops: array<f32, 128>;
var<workgroup> lengths: array<f32, 128>;
var<workgroup> columns: array<vec4f, 128>;

// `splits` partials from `from` on, `stride` bytes apart; query row i of head h.
fn mergeSplits(s: Sequence, h: i32, i: i32, begin: u32, stride: u32, splits: u32, t: u32) {
  let room = u32((p.dv + 7) & ~7) * 4u;
  var most = HIDDEN;
  for (var split = t; split < splits; split += 128u) { most = max(most, loadF(begin + split * stride + room)); }
  tops[t] = most;
  workgroupBarrier();
  var m = HIDDEN;
  for (var x = 0u; x < 128u; x++) { m = max(m, tops[x]); }
  let lane = t % LANES;
  let group = t / LANES;
  let groups = 128u / LANES;
  var l = 0.0;
  for (var split = group; split < splits; split += groups) {
    let at = begin + split * stride + room;
    l += weightOf(loadF(at), m) * loadF(at + 4u);
  }
  lengths[t] = l;
  workgroupBarrier();
  l = 0.0;
  for (var g = 0u; g < groups; g++) { l += lengths[g * LANES]; }

  let lseAt = p.lse + u32(s.batch * p.lseStrideB + (s.qStart + i) * p.lseStrideT + h * p.lseStrideH) * 4u;
  let end = joinRow(closeRow(h, m, l, keyBiasBase(s, h, i)), lseAt);
  var gain = end.inverse;
  if (p.outScale != 0u) { gain *= loadF(p.outScale + u32(s.batch * p.outScaleStrideB + h) * 4u); }
  let o = p.o + u32(s.batch * p.oStrideB + (s.qStart + i) * p.oStrideT + h * p.oStrideH) * 4u;
  let vectors = u32(p.dv + 3) / 4u;
  for (var c = 0u; c < vectors; c += LANES) {
    var sum = vec4f();
    if (c + lane < vectors) {
      for (var split = group; split < splits; split += groups) {
        let at = begin + split * stride;
        let weight = weightOf(loadF(at + room), m);
        if (weight > 0.0) { sum += weight * loadF4(at + (c + lane) * 16u); }
      }
    }
    columns[t] = sum;
    workgroupBarrier();
    if (group == 0u && c + lane < vectors) {
      for (var g = 1u; g < groups; g++) { sum += columns[g * LANES + lane]; }
      for (var e = 0u; e < 4u; e++) {
        let at = (c + lane) * 4u + e;
        if (at < u32(p.dv)) {
          var x = sum[e] * gain;
          if (end.keep != 0.0) { x += loadF(o + at * 4u) * end.keep; }
          storeF(o + at * 4u, x);
        }
      }
    }
    workgroupBarrier();
  }
  // every thread has read the lse that is there: barriers lie between
  if (p.lse != 0u && t == 0u) { storeU(lseAt, lseBits(end)); }
}
