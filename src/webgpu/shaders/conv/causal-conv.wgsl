//! params CausalConvParams
//! extra pieces: u32
//! use group, sequence
// Depthwise causal convolution along time: o_t = act(bias + sum_w weight[w] x[t - taps + 1 + w]).
//
//   tensors as of the kernel causalConv
//
// Workgroup: 64 channels and 32 tokens of an item, `pieces` such in an item; a thread has eight tokens in a row of one channel.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let item = i32(group / p.pieces);
  let piece = i32(group % p.pieces);
  let index = sequenceOfItem(item);
  let sequence = sequenceAt(index);
  let local = item - sequence.firstItem;
  let blocksD = (p.channels + p.blockD - 1) / p.blockD;
  let block = local / blocksD;
  let columns = (p.blockD + 63) / 64;
  let inBlock = (piece % columns) * 64 + i32(t & 63u);
  let channel = (local - block * blocksD) * p.blockD + inBlock;
  let inTime = (piece / columns) * 32 + i32(t >> 6u) * 8;
  let first = block * p.blockT + inTime;
  let last = min(min(first + 8, (block + 1) * p.blockT), sequence.qLength);
  if (inBlock >= p.blockD || channel >= p.channels || first >= last) { return; }
  var bias = 0.0;
  if (p.bias != 0u) { bias = loadF(p.bias + u32(channel) * 4u); }
  var sums: array<f32, 8>;
  for (var k = 0; k < 8; k += 1) { sums[k] = bias; }
  let x = sequence.batch * p.xStrideB + sequence.qStart * p.xStrideT + channel;
  let states = (i32(index) * p.channels + channel) * (p.taps - 1);
  for (var w = 0; w < p.taps; w += 1) {
    let weight = loadF(p.weight + u32(channel * p.taps + w) * 4u);
    for (var k = 0; k < 8; k += 1) {
      let s = first + k - p.taps + 1 + w;
      var value = 0.0;
      if (s >= 0 && first + k < last) {
        value = loadF(p.x + u32(x + s * p.xStrideT) * 4u);
      } else if (s < 0 && p.initialState != 0u) {
        value = loadF(p.initialState + u32(states + s + p.taps - 1) * 4u);
      }
      sums[k] += weight * value;
    }
  }
  let o = sequence.batch * p.oStrideB + (sequence.qStart + first) * p.oStrideT + channel;
  for (var k = 0; k < 8; k += 1) {
    if (first + k < last) {
      var y = sums[k];
      if (p.activation == 2) { y = y / (1.0 + exp(min(-y, 88.0))); }
      storeF(p.o + u32(o + k * p.oStrideT) * 4u, y);
    }
  }
}
