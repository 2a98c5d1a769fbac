//! params LogSumParams
//! use group, segment, special, join-weights
// Running logarithm of a sum of exponentials, kept as m + ln s, and the gates that normalise such a sum.
//
//   tensors as of the kernel logSum; any of o, decay and w may be x
//
// Workgroup: 16 channels of one segment; a thread has STEPS tokens in a row of one channel, chunks as in element-scan.

const STEPS = 8u;
const CHUNK = 16u * STEPS;

var<workgroup> ends: array<vec2f, 512>;

// m and s with another sum: (m', s e^{m - m'} + s2 e^{m2 - m'}).
fn added(s: vec2f, other: vec2f) -> vec2f {
  let weights = joinWeights(other.x - s.x);
  return vec2f(max(s.x, other.x), weights.x * s.y + weights.y * other.y);
}

fn storeLog(at: u32, s: vec2f) {
  if (s.y > 0.0) { storeF(at, s.x + log(s.y)); } else { storeU(at, NEGATIVE_INFINITY_BITS); }
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
  var carry = vec2f(EMPTY, 0.0);
  if (own.inside && p.initial != 0u && segment.initial >= 0) {
    let z = loadF(p.initial + (u32(segment.initial) * channels + channel) * 4u);
    if (!isNegativeInfinity(z) && z > EMPTY) { carry = vec2f(z, 1.0); }
  }
  var x: array<vec2f, STEPS>;
  var turn = 0u;
  for (var begin = 0u; begin < segment.length; begin += CHUNK) {
    let first = begin + time * STEPS;
    var local = vec2f(EMPTY, 0.0);
    for (var k = 0u; k < STEPS; k += 1u) {
      x[k] = vec2f(EMPTY, 0.0);
      if (own.inside && first + k < segment.length) {
        let element = loadF(p.x + own.start + (first + k) * stride);
        if (!isNegativeInfinity(element)) { x[k] = vec2f(element, 1.0); }
      }
      local = added(local, x[k]);
    }
    ends[turn + t] = local;
    workgroupBarrier();
    var state = carry;
    for (var j = 0u; j < 16u; j += 1u) {
      if (j == time) { state = carry; }
      carry = added(carry, ends[turn + j * 16u + own.lane]);
    }
    for (var k = 0u; k < STEPS; k += 1u) {
      if (own.inside && first + k < segment.length) {
        let at = own.start + (first + k) * stride;
        let next = added(state, x[k]);
        if (p.o != 0u) { storeLog(p.o + at, next); }
        if (p.decay != 0u) {
          var decay = 1.0;
          if (state.y > 0.0) { decay = exp(max(state.x - next.x, -200.0)) * state.y / next.y; }
          storeF(p.decay + at, decay);
        }
        if (p.w != 0u) {
          var weight = 0.0;
          if (next.y > 0.0) { weight = exp(max(x[k].x - next.x, -200.0)) * x[k].y / next.y; }
          storeF(p.w + at, weight);
        }
        state = next;
      }
    }
    turn = 256u - turn;
  }
  if (own.inside && time == 0u) { storeLog(p.final_ + (segment.state * channels + channel) * 4u, carry); }
}
