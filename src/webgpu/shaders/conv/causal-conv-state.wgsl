//! params CausalConvParams
//! use group, sequence
// The last inputs of every sequence, oldest first.
//
//   tensors as of the kernel causalConv; finalState may be initialState
//
// Thread: one channel of one sequence.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = i32(groupIndex(wg, grid) * 64u + t);
  if (i >= p.sequenceCount * p.channels) { return; }
  let index = i / p.channels;
  let channel = i - index * p.channels;
  let sequence = sequenceAt(u32(index));
  let history = p.taps - 1;
  let x = sequence.batch * p.xStrideB + sequence.qStart * p.xStrideT + channel;
  // a state that is written in place is read ahead of where it is written
  for (var r = 0; r < history; r += 1) {
    let s = sequence.qLength - history + r;
    var value = 0.0;
    if (s >= 0) {
      value = loadF(p.x + u32(x + s * p.xStrideT) * 4u);
    } else if (p.initialState != 0u) {
      value = loadF(p.initialState + u32(i * history + sequence.qLength + r) * 4u);
    }
    storeF(p.finalState + u32(i * history + r) * 4u, value);
  }
}
