//! params PoolParams
//! use group, storage, reduction
//! extra order_: u32, offsets_: u32, elements: u32
// Mean, sum, largest or least of the rows that share a label, and how many they are.
//
//   x         f32, f16, bf16 or i8 [B, T, H, d]   any strides, last axis contiguous
//   order_    u32 [B, lists, T], offsets_ u32 [B, lists, count + 1]   tokens by label; head h reads list floor(h * lists / H)
//   fallback  f32 [B, count, H, d]                any strides, last axis contiguous: o where no row is; absent: zeros
//   o         f32 [B, count, H, d]                any strides, last axis contiguous; must not alias an input
//   counts    i32 [B, H, count]                   contiguous
//
// Rows are taken in the order of their tokens. Thread: one element of o.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.d;
  let c = i32(e) - line * p.d;
  let item = line / p.count;
  let label = line - item * p.count;
  let batch = item / p.heads;
  let h = item - batch * p.heads;
  let list = batch * p.lists + (h * p.lists) / p.heads;
  let offsets = p.offsets_ + u32(list * (p.count + 1) + label) * 4u;
  let start = loadI(offsets);
  let to = loadI(offsets + 4u);
  if (c == 0) { storeI(p.counts + u32(line) * 4u, to - start); }
  let o = p.o + u32(batch * p.oStrideB + label * p.oStrideT + h * p.oStrideH + c) * 4u;
  if (to == start) {
    var value = 0.0;
    if (p.fallback != 0u) {
      value = loadF(p.fallback + u32(batch * p.fallbackStrideB + label * p.fallbackStrideT + h * p.fallbackStrideH + c) * 4u);
    }
    storeF(o, value);
    return;
  }
  let x = batch * p.xStrideB + h * p.xStrideH + c;
  var value = emptyOf(p.kind);
  for (var i = start; i < to; i += 1) {
    let token = loadI(p.order_ + u32(list * p.length + i) * 4u);
    value = reduced(value, loadAs(p.xType, p.x, x + token * p.xStrideT), p.kind);
  }
  if (p.kind == MEAN_KIND) { value *= 1.0 / f32(to - start); }
  storeReduced(o, value, true, p.kind);
}
