//! params RepresentativesParams
//! use group, storage, ordered
// What stands for blocks of keys: the mean of those with the highest scores, the earlier of equals.
//
//   k       f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
//   scores  f32 [B, H, T]                   contiguous; absent: all keys of a block count
//   o       f32 [B, blocks, H, d]           contiguous
//
// Block m has keys first + m * block on, with scores at most 1024. InfLLM (Xiao 2024). Workgroup: one (batch, block, head).

var<workgroup> numbers: array<u32, 1024>;
var<workgroup> taken: array<u32, 1024>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = i32(groupIndex(wg, grid));
  if (u32(item) >= p.groups) { return; }
  let h = item % p.heads;
  let m = (item / p.heads) % p.blocks;
  let batch = item / (p.heads * p.blocks);
  let begin = p.first + m * p.block;
  var count = p.block;
  if (p.scores != 0u) {
    count = min(p.count, p.block);
    let scores = p.scores + u32((batch * p.heads + h) * p.length + begin) * 4u;
    for (var j = t; j < u32(p.block); j += 256u) { numbers[j] = orderedBits(loadU(scores + j * 4u)); }
    workgroupBarrier();
    for (var j = t; j < u32(p.block); j += 256u) {
      var rank = 0;
      for (var x = 0u; x < u32(p.block); x += 1u) { rank += i32(numbers[x] > numbers[j] || (numbers[x] == numbers[j] && x < j)); }
      // what is no number is never taken
      taken[j] = u32(rank < count && numbers[j] > 1u);
    }
    workgroupBarrier();
  }
  for (var c = i32(t); c < p.d; c += 256) {
    let keys = batch * p.kStrideB + begin * p.kStrideT + h * p.kStrideH + c;
    var sum = 0.0;
    for (var j = 0; j < p.block; j += 1) {
      if (p.scores == 0u || taken[j] != 0u) { sum += loadAs(p.kType, p.k, keys + j * p.kStrideT); }
    }
    storeF(p.o + u32(item * p.d + c) * 4u, sum * (1.0 / f32(count)));
  }
}
