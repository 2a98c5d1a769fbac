//! params ScanCombineParams
//! extra elements: u32
//! use group, special
// States between the segments of a sequence: h_{s+1} = decay_s h_s + local_s; local_s gives way to h_s.
//
//   tensors as of the kernel scanCombine
//
// Thread: one element of the state of one sequence; `elements` of all sequences.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 64u + t;
  if (i >= p.elements) { return; }
  let channels = u32(p.channels);
  let n = u32(p.n);
  let size = channels * n;
  let sequence = i / size;
  let element = i - sequence * size;
  let channel = element / n;
  let first = loadU(p.sequences + sequence * 8u);
  let count = loadU(p.sequences + sequence * 8u + 4u);
  var rate = 0.0;
  if (p.a != 0u) { rate = loadF(p.a + element * 4u) * LOG2E; }
  var h = 0.0;
  for (var s = first; s < first + count; s += 1u) {
    let at = p.initial + (s * size + element) * 4u;
    let local = loadF(at);
    storeF(at, h);
    var decay = 1.0;
    if (s > first) {
      let segment = p.segments + s * 20u;
      let row = loadU(segment) + loadU(segment + 4u) - 1u;
      decay = loadF(p.running + (row * channels + channel) * 4u);
      if (p.a != 0u) { decay = exp2(clamp(decay * rate, -200.0, 126.0)); }
    }
    h = decay * h + local;
  }
  storeF(p.final_ + i * 4u, h);
}
