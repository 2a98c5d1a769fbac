//! params DiagonalScanParams
//! use group, sequence
// Complex diagonal recurrence of every channel: x_t = a x_{t-1} + b u_t, o_t = Re sum_n c x_t + d u_t.
//
//   tensors as of the kernel diagonalScan
//
// Workgroup: eight channels of one sequence, a thread for each of 32 states; more states come one group after another and add to o.
// Tokens come in rounds of TOKENS: what the states of a channel bring to a token's output is added up once a round.

const TOKENS = 8u;

var<workgroup> sequenceWords: vec4i;
var<workgroup> inputs: array<f32, 64>;
var<workgroup> parts: array<f32, 2048>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let channels = u32(p.channels);
  let states = u32(p.states);
  let columns = (channels + 7u) / 8u;
  let index = group / columns;
  let first = (group - index * columns) * 8u;
  if (t == 0u) {
    let given = sequenceAt(index);
    sequenceWords = vec4i(given.batch, given.qStart, given.qLength, 0);
  }
  let words = workgroupUniformLoad(&sequenceWords);
  let length = u32(words.z);
  let lane = t & 31u;
  let channel = first + (t >> 5u);
  // what this thread brings in and writes
  let token = t >> 3u;
  let own = first + (t & 7u);
  let moves = t < TOKENS * 8u && own < channels;
  let u = words.x * p.uStrideB + words.y * p.uStrideT + i32(own);
  let o = words.x * p.oStrideB + words.y * p.oStrideT + i32(own);
  var d = 0.0;
  if (moves && p.d != 0u) { d = loadF(p.d + own * 4u); }
  for (var base = 0u; base < max(states, 1u); base += 32u) {
    let n = base + lane;
    let exists = channel < channels && n < states;
    let at = ((index * channels + channel) * states + n) * 8u;
    var a = vec2f();
    var b = vec2f();
    var c = vec2f();
    var x = vec2f();
    if (exists) {
      let table = p.table + (channel * ((states + 3u) / 4u) + n / 4u) * 128u + (n & 3u) * 4u;
      a = vec2f(loadF(table), loadF(table + 16u));
      b = vec2f(loadF(table + 32u), loadF(table + 48u));
      c = vec2f(loadF(table + 64u), loadF(table + 80u));
      if (p.initialState != 0u) { x = vec2f(loadF(p.initialState + at), loadF(p.initialState + at + 4u)); }
    }
    var next = 0.0;
    if (moves && token < length) { next = loadF(p.u + u32(u + i32(token) * p.uStrideT) * 4u); }
    for (var begin = 0u; begin < length; begin += TOKENS) {
      let now = next;
      if (t < TOKENS * 8u) { inputs[t] = now; }
      workgroupBarrier();
      next = 0.0;
      if (moves && begin + TOKENS + token < length) {
        next = loadF(p.u + u32(u + i32(begin + TOKENS + token) * p.uStrideT) * 4u);
      }
      for (var k = 0u; k < TOKENS; k += 1u) {
        if (begin + k < length) {
          let input = inputs[k * 8u + (t >> 5u)];
          x = vec2f(a.x * x.x - a.y * x.y, a.x * x.y + a.y * x.x) + b * input;
        }
        parts[k * 256u + t] = c.x * x.x - c.y * x.y;
      }
      workgroupBarrier();
      if (moves && begin + token < length) {
        var sum = d * now;
        if (base > 0u) { sum = 0.0; }
        // threads begin at different places, which lie in different banks
        for (var i = 0u; i < 32u; i += 1u) { sum += parts[token * 256u + (t & 7u) * 32u + ((i + t) & 31u)]; }
        let to = p.o + u32(o + i32(begin + token) * p.oStrideT) * 4u;
        if (base > 0u) { sum += loadF(to); }
        storeF(to, sum);
      }
      workgroupBarrier();
    }
    if (exists) {
      storeF(p.finalState + at, x.x);
      storeF(p.finalState + at + 4u, x.y);
    }
  }
}
