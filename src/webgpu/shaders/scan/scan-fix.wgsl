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
  let channels = u32(p.channels);
  let columns = (channels + 15u) / 16u;
  let index = group / columns;
  let segment = segmentAt(p.segments, index, t);
  let channel = (group - index * columns) * 16u + (t & 15u);
  if (channel >= channels || segmentIsFirst(p.segments, index)) { return; }
  let h = loadF(p.initial + (segment.state * channels + channel) * 4u);
  for (var token = t >> 4u; token < segment.length; token += 16u) {
    let at = ((segment.row + token) * channels + channel) * 4u;
    storeF(p.o + at, loadF(p.o + at) + loadF(p.running + at) * h);
  }
}
