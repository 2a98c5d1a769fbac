//! params PoolParams
//! use group, storage, reduction
//! const SLICES
//! extra spans: u32
// Mean, sum, largest or least of the rows of each block of tokens; a last, shorter block is of its own rows only.
//
//   x  f32, f16, bf16 or i8 [B, T, H, d]        any strides, last axis contiguous
//   o  f32 [B, ceil(T / block), H, d]           any strides, last axis contiguous; must not alias x
//
// Largest and least pass NaN over. Workgroup: 256 / SLICES channels of one block, SLICES threads a channel.

const WIDTH = 256u / SLICES;

var<workgroup> parts: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g / p.spans;
  let x = (g - item * p.spans) * WIDTH + t % WIDTH;
  let slice = t / WIDTH;
  let batch = i32(item) / p.count;
  let block = i32(item) - batch * p.count;
  let h = i32(x) / p.d;
  let c = i32(x) - h * p.d;
  let live = h < p.heads;
  let start = block * p.block;
  let to = min(start + p.block, p.length);
  var value = emptyOf(p.kind);
  if (live) {
    let at = batch * p.xStrideB + h * p.xStrideH + c;
    for (var token = start + i32(slice); token < to; token += i32(SLICES)) {
      value = reduced(value, loadAs(p.xType, p.x, at + token * p.xStrideT), p.kind);
    }
  }
  if (SLICES > 1u) {
    parts[t] = value;
    workgroupBarrier();
    if (slice == 0u) {
      for (var n = 1u; n < SLICES; n += 1u) { value = reduced(value, parts[n * WIDTH + t], p.kind); }
    }
  }
  if (!live || slice > 0u) { return; }
  if (p.kind == MEAN_KIND) { value *= 1.0 / f32(to - start); }
  storeReduced(p.o + u32(batch * p.oStrideB + block * p.oStrideT + h * p.oStrideH + c) * 4u, value, to > start, p.kind);
}
