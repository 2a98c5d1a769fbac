//! params SparqBlendParams
//! use group, storage, map-rows, workgroup-sum, lines
// The mean of the values that a query sees stands for those that it did not choose.
//
//   map   f32 [B, H, Tq, Tk]               columns contiguous: weights that sum to 1 over what a row sees
//   bits  i32 [B, H, Tq, words]            contiguous
//   v     f32, f16 or bf16 [B, Tk, H / group, dv]   any strides, last axis contiguous
//   sums  f32 [B, H / group, dv]           contiguous: of all values, over weight
//   o     f32 [B, Tq, H, dv]               any strides, last axis contiguous; in place
//
//   o = alpha o + (1 - alpha) mean of the values seen, alpha the weight of what was chosen: 1 where that is all. SparQ (Ribar 2023).
//
// Workgroup: one row. Of values seen and not seen it adds up the fewer: what is taken from the sum of all leaves their rounding.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  let at = lineOf(item);
  let h = at.head / p.group;
  let n = visibleColumns(at.row);
  let row = mapRow(at.list, at.row);
  var mass = 0.0;
  var chosen = 0.0;
  for (var w = t; w < u32(p.words); w += 256u) {
    let bits = loadU(p.bits + (u32(item * p.words) + w) * 4u);
    chosen += f32(countOneBits(bits));
    for (var left = bits; left != 0u; left &= left - 1u) { mass += loadF(row + (w * 32u + firstTrailingBit(left)) * 4u); }
  }
  let alpha = workgroupSum(t, mass);
  let count = workgroupSum(t, chosen);
  if (i32(count) >= n) { return; }
  let direct = n < p.columns - n;
  let begin = select(n, 0, direct);
  let end = select(p.columns, n, direct);
  for (var c = i32(t); c < p.dv; c += 256) {
    let values = at.batch * p.vStrideB + h * p.vStrideH + c;
    var some = 0.0;
    for (var j = begin; j < end; j += 1) { some += loadAs(p.vType, p.v, values + j * p.vStrideT); }
    var sum = some;
    if (!direct) { sum = loadF(p.sums + u32((at.batch * (p.lists / p.group) + h) * p.dv + c) * 4u) * p.weight - some; }
    let o = p.o + u32(at.batch * p.oStrideB + at.row * p.oStrideT + at.head * p.oStrideH + c) * 4u;
    storeF(o, alpha * loadF(o) + (1.0 - alpha) / f32(n) * sum);
  }
}
