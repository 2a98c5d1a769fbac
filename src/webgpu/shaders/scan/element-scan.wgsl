//! params ScanParams
//! use group, segment, softplus, one-less-exp
//! const LANES, GATED
// h_t = a_t h_{t-1} + x_t, o = h: with a_t = e^{g_t}, or (GATED) with the gates of a real-gated linear recurrent unit.
//
//   tensors as of the kernels hgrn and rgLru; running may be absent
//
// Workgroup: LANES channels of one segment; a thread has STEPS tokens in a row of one channel. Chunks of TIMES * STEPS tokens
// follow one another: each thread scans its tokens from zero, the ends (product of decays, state) of the threads before it make
// the state that enters, and it scans again from there. Nothing is divided, so decays may vanish.

const TIMES = 256u / LANES;
const STEPS = 8u;
const CHUNK = TIMES * STEPS;
// a product of growing gates may not become infinite: times a state of zero it has to be zero
const MOST = 3e38;

var<workgroup> ends: array<vec2f, 512>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let index = segmentIndex(group, LANES);
  let segment = segmentAt(p.segments, index, t);
  let own = channelAt(group, LANES, t, segment.row);
  let channels = u32(p.channels);
  let channel = own.channel;
  let time = own.time;
  let stride = channels * 4u;
  var carry = 0.0;
  var rate = 0.0;
  var forgets = false;
  if (own.inside) {
    if (p.initial != 0u && segment.initial >= 0) { carry = loadF(p.initial + (u32(segment.initial) * channels + channel) * 4u); }
    if (GATED) {
      rate = -p.c * softplus(loadF(p.recurrentParam + channel * 4u));
      forgets = p.reset != 0 && time == 0u && segmentIsFirst(p.segments, index);
    }
  }
  var product = 1.0;
  var nextX: array<f32, STEPS>;
  var nextG: array<f32, STEPS>;
  var nextI: array<f32, STEPS>;
  var x: array<f32, STEPS>;
  var a: array<f32, STEPS>;
  for (var k = 0u; k < STEPS; k += 1u) {
    let token = time * STEPS + k;
    if (own.inside && token < segment.length) {
      let at = own.start + token * stride;
      nextX[k] = loadF(p.x + at);
      nextG[k] = loadF(p.g + at);
      if (GATED) { nextI[k] = loadF(p.inputGate + at); }
    }
  }
  var turn = 0u;
  for (var begin = 0u; begin < segment.length; begin += CHUNK) {
    var local = 0.0;
    var decay = 1.0;
    for (var k = 0u; k < STEPS; k += 1u) {
      let token = begin + time * STEPS + k;
      var factor = 1.0;
      var enters = 0.0;
      if (own.inside && token < segment.length) {
        if (GATED) {
          let exponent = rate * nextG[k];
          factor = exp(clamp(exponent, -200.0, 88.0));
          enters = sqrt(max(oneLessExp(2.0 * exponent), 0.0)) * nextI[k] * nextX[k];
          if (forgets && token == 0u) {
            factor = 0.0;
            enters = nextI[k] * nextX[k];
          }
        } else {
          factor = exp(clamp(nextG[k], -200.0, 88.0));
          enters = nextX[k];
        }
      }
      a[k] = factor;
      x[k] = enters;
      local = factor * local + enters;
      decay = min(decay * factor, MOST);
    }
    ends[turn + t] = vec2f(decay, local);
    for (var k = 0u; k < STEPS; k += 1u) {
      let token = begin + CHUNK + time * STEPS + k;
      if (own.inside && token < segment.length) {
        let at = own.start + token * stride;
        nextX[k] = loadF(p.x + at);
        nextG[k] = loadF(p.g + at);
        if (GATED) { nextI[k] = loadF(p.inputGate + at); }
      }
    }
    workgroupBarrier();
    var h = carry;
    var running = product;
    for (var j = 0u; j < TIMES; j += 1u) {
      if (j == time) {
        h = carry;
        running = product;
      }
      let end = ends[turn + j * LANES + own.lane];
      carry = end.x * carry + end.y;
      product = min(product * end.x, MOST);
    }
    for (var k = 0u; k < STEPS; k += 1u) {
      let token = begin + time * STEPS + k;
      h = a[k] * h + x[k];
      running = min(running * a[k], MOST);
      if (own.inside && token < segment.length) {
        storeF(p.o + own.start + token * stride, h);
        if (p.running != 0u) { storeF(p.running + own.start + token * stride, running); }
      }
    }
    turn = 256u - turn;
  }
  if (own.inside && time == 0u) { storeF(p.final_ + (segment.state * channels + channel) * 4u, carry); }
}
