//! params StabilizerParams
//! use group, softplus, decay
// The running maximum that keeps exponential input gates finite: m_t = max(f'_t + m_{t-1}, i_t), g_t = f'_t + m_{t-1} - m_t,
// w_t = e^{i_t - m_t}, f' = ln sigmoid(f).
//
//   i, f, m, g, w  f32 [B, T, H]   contiguous
//   mIn, mOut      f32 [N, H]      mIn may be absent (zeros) or mOut
//
// Only the maximum itself goes token by token, from memory that the group shares. xLSTM (Beck 2024).
// Group: 16 heads of a sequence; sixteen threads to a head.

const HEADS = 16u;
const BLOCK = 64u;

var<workgroup> sequenceLength: u32;
var<workgroup> forgets: array<f32, 1024>;
var<workgroup> inputs: array<f32, 1024>;
var<workgroup> maxima: array<f32, 1040>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let headGroups = (heads + HEADS - 1u) / HEADS;
  let n = group / headGroups;
  let h = t % HEADS;
  let head = (group - n * headGroups) * HEADS + h;
  let there = head < heads;
  let at = p.sequences + n * 32u;
  let row = u32(loadI(at) * p.length + loadI(at + 4u));
  if (t == 0u) { sequenceLength = loadU(at + 8u); }
  let length = workgroupUniformLoad(&sequenceLength);
  let state = (n * heads + head) * 4u;
  if (t < HEADS) {
    var m = 0.0;
    if (there && p.mIn != 0u) { m = loadF(p.mIn + state); }
    maxima[h] = m;
  }
  for (var first = 0u; first < length; first += BLOCK) {
    let count = min(BLOCK, length - first);
    if (there) {
      for (var i = t / HEADS; i < count; i += 16u) {
        let place = ((row + first + i) * heads + head) * 4u;
        forgets[i * HEADS + h] = logSigmoid(loadF(p.f + place));
        inputs[i * HEADS + h] = loadF(p.i + place);
      }
    }
    workgroupBarrier();
    if (t < HEADS && there) {
      var m = maxima[h];
      for (var i = 0u; i < count; i += 1u) {
        m = max(forgets[i * HEADS + h] + m, inputs[i * HEADS + h]);
        maxima[(i + 1u) * HEADS + h] = m;
      }
    }
    workgroupBarrier();
    if (there) {
      for (var i = t / HEADS; i < count; i += 16u) {
        let place = ((row + first + i) * heads + head) * 4u;
        let m = maxima[(i + 1u) * HEADS + h];
        storeF(p.g + place, forgets[i * HEADS + h] + maxima[i * HEADS + h] - m);
        storeF(p.w + place, decay4(vec4f(inputs[i * HEADS + h] - m)).x);
        storeF(p.m + place, m);
      }
    }
    workgroupBarrier();
    if (t < HEADS) { maxima[h] = maxima[count * HEADS + h]; }
    workgroupBarrier();
  }
  if (t < HEADS && there) { storeF(p.mOut + state, maxima[h]); }
}
