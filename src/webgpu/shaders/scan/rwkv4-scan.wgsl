//! params Rwkv4Params
//! use group, segment, join-weights
// RWKV-4's weighted average, sums relative to a running maximum m.
//
//   tensors as of the kernel rwkv4
//
// Workgroup: 16 channels of one segment; a thread has STEPS tokens in a row of one channel. Chunks of 16 * STEPS tokens follow one
// another as in element-scan: a state (a, b, m) faded by a number of tokens joins another like the sums of a softmax.

const STEPS = 8u;
const CHUNK = 16u * STEPS;

var<workgroup> ends: array<vec4f, 512>;

// State `s`, faded by `fade` (at most 0), with `add` behind it.
fn joined(s: vec3f, fade: f32, add: vec3f) -> vec3f {
  let faded = max(s.z + fade, EMPTY);
  let weights = joinWeights(add.z - faded);
  return vec3f(weights.x * s.xy + weights.y * add.xy, max(faded, add.z));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let segment = segmentAt(p.segments, segmentIndex(group, 16u), t);
  let own = channelAt(group, 16u, t, segment.row);
  let channels = u32(p.channels);
  let channel = own.channel;
  let time = own.time;
  let stride = channels * 4u;
  var carry = vec3f(0.0, 0.0, EMPTY);
  var fade = 0.0;
  var bonus = 0.0;
  if (own.inside) {
    fade = -exp(clamp(loadF(p.w + channel * 4u), -200.0, 80.0));
    bonus = loadF(p.u + channel * 4u);
    if (p.initial != 0u && segment.initial >= 0) {
      let at = (u32(segment.initial) * channels + channel) * 4u;
      carry = vec3f(loadF(p.initial + at), loadF(p.initialDen + at), loadF(p.initialMax + at));
    }
  }
  var nextK: array<f32, STEPS>;
  var nextV: array<f32, STEPS>;
  var key: array<f32, STEPS>;
  var value: array<f32, STEPS>;
  for (var k = 0u; k < STEPS; k += 1u) {
    let token = time * STEPS + k;
    if (own.inside && token < segment.length) {
      nextK[k] = loadF(p.k + own.start + token * stride);
      nextV[k] = loadF(p.v + own.start + token * stride);
    }
  }
  var turn = 0u;
  for (var begin = 0u; begin < segment.length; begin += CHUNK) {
    let first = begin + time * STEPS;
    var local = vec3f(0.0, 0.0, EMPTY);
    var count = 0.0;
    for (var k = 0u; k < STEPS; k += 1u) {
      key[k] = nextK[k];
      value[k] = nextV[k];
      if (own.inside && first + k < segment.length) {
        local = joined(local, fade, vec3f(value[k], 1.0, key[k]));
        count += 1.0;
      }
    }
    ends[turn + t] = vec4f(local, count);
    for (var k = 0u; k < STEPS; k += 1u) {
      let token = first + CHUNK + k;
      if (own.inside && token < segment.length) {
        nextK[k] = loadF(p.k + own.start + token * stride);
        nextV[k] = loadF(p.v + own.start + token * stride);
      }
    }
    workgroupBarrier();
    var state = carry;
    for (var j = 0u; j < 16u; j += 1u) {
      if (j == time) { state = carry; }
      let end = ends[turn + j * 16u + own.lane];
      if (end.w > 0.0) { carry = joined(carry, fade * end.w, end.xyz); }
    }
    for (var k = 0u; k < STEPS; k += 1u) {
      let token = first + k;
      if (own.inside && token < segment.length) {
        let seen = joined(state, 0.0, vec3f(value[k], 1.0, key[k] + bonus));
        storeF(p.o + own.start + token * stride, seen.x / seen.y);
        state = joined(state, fade, vec3f(value[k], 1.0, key[k]));
      }
    }
    turn = 256u - turn;
  }
  if (own.inside && time == 0u) {
    let at = (segment.state * channels + channel) * 4u;
    storeF(p.final_ + at, carry.x);
    storeF(p.finalDen + at, carry.y);
    storeF(p.finalMax + at, carry.z);
  }
}
