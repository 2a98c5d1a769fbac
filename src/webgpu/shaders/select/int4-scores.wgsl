//! params Int4ScoreParams
//! use group, special, storage, list-entries
//! const Q_TYPE
//! extra spans: u32
// Scores of the keys of lists by their codes.
//
//   q        f32, f16 or bf16 [B, Tq, L, d]      any strides, last axis contiguous
//   codes    u8 [B, Tk, L / group, width], range f32 [B, Tk, L / group, 2]   as int4-keys writes them
//   indices  i32 [B, L, Tq, entries], counts i32 [B, L, Tq]   contiguous; entries from 0 to Tk - 1
//   o        f32 [B, L, Tq, entries]             contiguous; -Infinity behind the last entry
//
//   o = scale (least sum q_c + step sum q_c code_c). Workgroup: 32 entries of one row.

fn queryAt(q: i32, c: i32) -> f32 {
  if (c >= p.d) { return 0.0; }
  return loadAs(i32(Q_TYPE), p.q, q + c) * p.scale;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g / p.spans;
  let entry = entryOf(i32(item), i32((g - item * p.spans) * 32u + t / 8u), p.entries);
  let q = entry.batch * p.qStrideB + entry.i * p.qStrideT + entry.h * p.qStrideH;
  let h = entry.h / p.group;
  let codes = p.codes + u32(entry.batch * p.codesStrideB + entry.j * p.codesStrideT + h * p.codesStrideH);
  var products = 0.0;
  var all = 0.0;
  if (!entry.hidden) {
    for (var w = i32(t & 7u); w * 4 < p.width; w += 8) {
      let word = loadU(codes + u32(w) * 4u);
      for (var b = 0; b < 4; b += 1) {
        let byte = (word >> u32(b * 8)) & 255u;
        let low = queryAt(q, w * 4 + b);
        let high = queryAt(q, w * 4 + b + p.width);
        products = fma(low, f32(byte & 15u), fma(high, f32(byte >> 4u), products));
        all += low + high;
      }
    }
  }
  let sum = sumEntry(t, vec3f(products, all, 0.0));
  if ((t & 7u) > 0u || entry.n >= p.entries) { return; }
  let o = p.o + u32(entry.item * p.entries + entry.n) * 4u;
  if (entry.hidden) {
    storeU(o, NEGATIVE_INFINITY_BITS);
    return;
  }
  let range = p.range + u32(entry.batch * p.rangeStrideB + entry.j * p.rangeStrideT + h * p.rangeStrideH) * 4u;
  storeF(o, loadF(range + 4u) * sum.y + loadF(range) * sum.x);
}
