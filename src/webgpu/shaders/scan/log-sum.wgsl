//! params LogSumParams
//! use group, special, pair
// Running logarithm of a sum of exponentials, z_t = ln(e^{z_{t-1}} + e^{x_t}), kept as m + ln s with the maximum m; and the gates that
// normalise such a sum: decay_t = e^{z_{t-1} - z_t} (1 while the sum is empty), w_t = e^{x_t - z_t}.
//
//   x, o (z), decay, w   f32 [tokens, channels]   contiguous; each of o, decay and w may be absent, and any may be x
//   initial, final   f32 [states, channels]   z before (absent: empty, -infinity) and after; final may be initial
//
// Group: 16 channels of a segment; sixteen threads to a channel, each with 8 tokens of 128. The sum of what lies before them is two floats.

const CHANNELS = 16u;
const LANES = 16u;
const RUN = 8u;
// below every maximum of an empty sum, and finite, so that differences are
const EMPTY = -1e38;

var<workgroup> segmentLength: u32;
var<workgroup> tops: array<f32, 256>;
var<workgroup> sums: array<f32, 256>;

// e^(x - m), nothing for what stands for -Infinity.
fn term(x: f32, m: f32) -> f32 { return select(exp(x - m), 0.0, x <= EMPTY); }

fn storeLog(at: u32, m: f32, sum: f32) {
  if (sum == 0.0) {
    storeU(at, NEGATIVE_INFINITY_BITS);
  } else {
    storeF(at, m + log(sum));
  }
}

// A sum in units of e^from, in those of e^to.
fn rescaled(sum: vec2f, share: f32) -> vec2f {
  let high = opaque(sum.x * share);
  return vec2f(high, fma(sum.x, share, -high) + sum.y * share);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let channels = u32(p.channels);
  let blocks = (channels + CHANNELS - 1u) / CHANNELS;
  let index = group / blocks;
  let segment = p.segments + index * 20u;
  let c = t % CHANNELS;
  let lane = t / CHANNELS;
  let channel = (group - index * blocks) * CHANNELS + c;
  let there = channel < channels;
  let row = loadU(segment);
  if (t == 0u) { segmentLength = loadU(segment + 4u); }
  let length = workgroupUniformLoad(&segmentLength);
  let initial = loadI(segment + 8u);
  let state = loadU(segment + 12u);

  // the sum so far
  var m = EMPTY;
  var sum = vec2f();
  if (there && p.initial != 0u && initial >= 0) {
    let z = loadF(p.initial + (u32(initial) * channels + channel) * 4u);
    if (!isNegativeInfinity(z) && z > EMPTY) {
      m = z;
      sum = vec2f(1.0, 0.0);
    }
  }
  // every thread of a channel has read it before one writes over it
  workgroupBarrier();
  for (var first = 0u; first < length; first += LANES * RUN) {
    let begin = first + lane * RUN;
    var x = array<f32, 8>();
    var top = EMPTY;
    for (var i = 0u; i < RUN; i += 1u) {
      x[i] = EMPTY;
      if (there && begin + i < length) {
        let value = loadF(p.x + ((row + begin + i) * channels + channel) * 4u);
        if (!isNegativeInfinity(value)) { x[i] = max(value, EMPTY); }
      }
      top = max(top, x[i]);
    }
    var own = 0.0;
    for (var i = 0u; i < RUN; i += 1u) { own += term(x[i], top); }
    workgroupBarrier();
    tops[t] = top;
    sums[t] = own;
    workgroupBarrier();
    // the sums before this thread's tokens, and before the next block
    var most = m;
    var mostBefore = m;
    for (var i = 0u; i < LANES; i += 1u) {
      let other = tops[i * CHANNELS + c];
      most = max(most, other);
      if (i < lane) { mostBefore = max(mostBefore, other); }
    }
    var all = rescaled(sum, term(m, most));
    var before = rescaled(sum, term(m, mostBefore));
    for (var i = 0u; i < LANES; i += 1u) {
      let other = i * CHANNELS + c;
      all = addPairs(all, vec2f(sums[other] * term(tops[other], most), 0.0));
      if (i < lane) { before = addPairs(before, vec2f(sums[other] * term(tops[other], mostBefore), 0.0)); }
    }
    var running = before;
    var runningTop = mostBefore;
    for (var i = 0u; i < RUN; i += 1u) {
      let next = max(runningTop, x[i]);
      let kept = rescaled(running, term(runningTop, next));
      let fresh = term(x[i], next);
      let empty = running.x == 0.0;
      running = addPairs(kept, vec2f(fresh, 0.0));
      runningTop = next;
      if (there && begin + i < length) {
        let at = ((row + begin + i) * channels + channel) * 4u;
        let nothing = running.x == 0.0;
        let over = select(1.0 / running.x, 0.0, nothing);
        if (p.o != 0u) { storeLog(p.o + at, runningTop, running.x); }
        if (p.decay != 0u) { storeF(p.decay + at, select(kept.x * over, 1.0, empty)); }
        if (p.w != 0u) { storeF(p.w + at, fresh * over); }
      }
    }
    m = most;
    sum = all;
  }
  if (there && lane == 0u) { storeLog(p.final_ + (state * channels + channel) * 4u, m, sum.x); }
}
