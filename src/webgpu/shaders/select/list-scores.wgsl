//! params ListScoreParams
//! use group, special, storage, list-entries
//! const Q_TYPE, K_TYPE
//! extra spans: u32
// Scores of the keys of lists.
//
//   q        f32, f16 or bf16 [B, Tq, L, d]           any strides, last axis contiguous
//   k        f32, f16 or bf16 [B, Tk, L / group, d]   likewise
//   indices  i32 [B, L, Tq, width], counts i32 [B, L, Tq]   contiguous; entries from 0 to Tk - 1
//   o        f32 [B, L, Tq, width]                    contiguous; -Infinity behind the last entry
//
//   o_in = scale q_i k_j, j entry n of list i; -Infinity too where j is taken in any case. Workgroup: 32 entries of one row.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g / p.spans;
  let entry = entryOf(i32(item), i32((g - item * p.spans) * 32u + t / 8u), p.width);
  let q = entry.batch * p.qStrideB + entry.i * p.qStrideT + entry.h * p.qStrideH;
  let k = entry.batch * p.kStrideB + entry.j * p.kStrideT + (entry.h / p.group) * p.kStrideH;
  var sum = 0.0;
  if (!entry.hidden) {
    for (var c = i32(t & 7u); c < p.d; c += 8) {
      sum = fma(loadAs(i32(Q_TYPE), p.q, q + c) * p.scale, loadAs(i32(K_TYPE), p.k, k + c), sum);
    }
  }
  sum = sumEntry(t, vec3f(sum, 0.0, 0.0)).x;
  if ((t & 7u) > 0u || entry.n >= p.width) { return; }
  let o = p.o + u32(entry.item * p.width + entry.n) * 4u;
  if (entry.hidden) { storeU(o, NEGATIVE_INFINITY_BITS); } else { storeF(o, sum); }
}
