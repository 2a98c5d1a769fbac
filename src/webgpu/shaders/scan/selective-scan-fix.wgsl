//! params SelectiveScanParams
//! use group, segment, special
// What a segment's incoming state adds to its outputs: o_t += (C_t e^{A running_t} h) silu(z_t).
//
//   tensors as of the kernel selectiveScanFix
//
// Workgroup: 16 channels of one segment, 16 tokens at a time.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let index = segmentIndex(group, 16u);
  let segment = segmentAt(p.segments, index, t);
  let own = channelAt(group, 16u, t, segment.row);
  if (!own.inside || segmentIsFirst(p.segments, index)) { return; }
  let channels = u32(p.channels);
  let channel = own.channel;
  let n = u32(p.n);
  let states = p.initial + (segment.state * channels + channel) * n * 4u;
  for (var token = own.time; token < segment.length; token += 16u) {
    let row = segment.row + token;
    let at = (row * channels + channel) * 4u;
    let sum = loadF(p.running + at) * LOG2E;
    var y = 0.0;
    for (var i = 0u; i < n; i += 1u) {
      let decay = exp2(min(sum * loadF(p.a + (channel * n + i) * 4u), 126.0));
      y += decay * loadF(states + i * 4u) * loadF(p.c + (row * n + i) * 4u);
    }
    if (p.z != 0u) {
      let z = loadF(p.z + at);
      y *= z / (1.0 + exp(min(-z, 88.0)));
    }
    storeF(p.o + at, loadF(p.o + at) + y);
  }
}
