//! params ScanParams
//! use group, segment
// What a segment's incoming state adds to its outputs: o_t += running_t h.
//
//   tensors as of the kernel scanFix
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
  let h = loadF(p.initial + (segment.state * channels + channel) * 4u);
  for (var token = own.time; token < segment.length; token += 16u) {
    let at = ((segment.row + token) * channels + channel) * 4u;
    storeF(p.o + at, loadF(p.o + at) + loadF(p.running + at) * h);
  }
}
