//! params SelectiveScanParams
//! use group, segment, special, softplus, put-words
//! const QUADS, STEPS
// Selective state-space scan: h_t = e^{dt A} h_{t-1} + dt u B_t, o_t = (C_t h_t + D u_t) silu(z_t).
//
//   tensors as of the kernel selectiveScan
//
// Workgroup: 16 channels of one segment. A thread holds four of the n states of a channel over STEPS tokens in a row; QUADS such
// threads have up to 16 states of a channel, and TIMES of these CHUNK tokens. More states than 4 QUADS come one group after
// another, each adding to o. Within a chunk each thread finds its decays and the states that it would end with from zero; the ends
// of those before it make what enters, and it goes through its tokens again with the same decays. Exponents are in units of ln 2.
//
// Tile, in vectors: dt and dt u of four tokens of a channel each [CHUNK / 4][16], B and C of four states [CHUNK][QUADS]; then, in
// their place, the sums of C h of four tokens [CHUNK / 4][16][QUADS].

const TIMES = 16u / QUADS;
const CHUNK = TIMES * STEPS;
const STEP_QUADS = STEPS / 4u;
const PLACES = CHUNK * 4u;
const TILE = max(PLACES * QUADS, PLACES * 2u + CHUNK * QUADS * 2u);
const AT_ENTERING = PLACES;
const AT_B = PLACES * 2u;
const AT_C = PLACES * 2u + CHUNK * QUADS;
const LOADS = (CHUNK * QUADS + 255u) / 256u;

var<workgroup> tile: array<vec4f, TILE>;
var<workgroup> decays: array<vec4f, 256>;
var<workgroup> locals: array<vec4f, 256>;

// Four states of a row that begins at `row`, zeros behind the n-th.
fn states4(row: u32, state: u32, n: u32) -> vec4f { return get4(row + state * 4u, 4u, n - min(n, state)); }

fn silu4(z: vec4f) -> vec4f { return z / (vec4f(1.0) + exp(min(-z, vec4f(88.0)))); }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let segment = segmentAt(p.segments, segmentIndex(group, 16u), t);
  let own = channelAt(group, 16u, t, segment.row);
  let length = segment.length;
  let channels = u32(p.channels);
  let channel = own.channel;
  let inside = own.inside;
  let start = own.start;
  let lane = own.lane;
  let n = u32(p.n);
  let quad = (t >> 4u) % QUADS;
  let time = t / (16u * QUADS);
  let stride = channels * 4u;
  // the four tokens of a channel that this thread brings in and writes
  let place = t >> 4u;
  let brings = inside && place < CHUNK / 4u;
  var skip = 0.0;
  var bias = 0.0;
  if (inside && p.d != 0u) { skip = loadF(p.d + channel * 4u); }
  if (inside && p.deltaBias != 0u) { bias = loadF(p.deltaBias + channel * 4u); }
  for (var base = 0u; base < n; base += 4u * QUADS) {
    let state = base + quad * 4u;
    let lastGroup = base + 4u * QUADS >= n;
    var a = vec4f();
    var carry = vec4f();
    if (inside) {
      a = states4(p.a + channel * n * 4u, state, n) * LOG2E;
      if (p.initial != 0u && segment.initial >= 0) {
        carry = states4(p.initial + (u32(segment.initial) * channels + channel) * n * 4u, state, n);
      }
    }
    var sumBefore = 0.0;
    var delta: vec4f;
    var u: vec4f;
    var z: vec4f;
    var b: array<vec4f, LOADS>;
    var c: array<vec4f, LOADS>;
    if (brings) {
      let left = length - min(length, place * 4u);
      let at = start + place * 4u * stride;
      delta = get4(p.delta + at, stride, left);
      u = get4(p.u + at, stride, left);
      if (p.z != 0u) { z = get4(p.z + at, stride, left); }
    }
    for (var i = 0u; i < LOADS; i += 1u) {
      let place4 = t + i * 256u;
      let token = place4 / QUADS;
      let from_ = base + (place4 % QUADS) * 4u;
      if (token < min(length, CHUNK)) {
        b[i] = states4(p.b + (segment.row + token) * n * 4u, from_, n);
        c[i] = states4(p.c + (segment.row + token) * n * 4u, from_, n);
      }
    }
    for (var begin = 0u; begin < length; begin += CHUNK) {
      let left = length - min(length, begin + place * 4u);
      let at = start + (begin + place * 4u) * stride;
      var dt = vec4f();
      let uNow = u;
      let zNow = z;
      if (brings) {
        dt = delta + bias;
        if (p.softplus != 0) { dt = vec4f(softplus(dt.x), softplus(dt.y), softplus(dt.z), softplus(dt.w)); }
        // tokens behind the last one change nothing
        dt = select(vec4f(), dt, vec4u(left) > vec4u(0u, 1u, 2u, 3u));
        tile[t] = dt;
        tile[AT_ENTERING + t] = dt * uNow;
      } else if (place < CHUNK / 4u) {
        tile[t] = vec4f();
        tile[AT_ENTERING + t] = vec4f();
      }
      for (var i = 0u; i < LOADS; i += 1u) {
        let place4 = t + i * 256u;
        if (place4 < CHUNK * QUADS) {
          tile[AT_B + place4] = b[i];
          tile[AT_C + place4] = c[i];
        }
      }
      workgroupBarrier();
      // what comes next is asked for before this chunk's work
      if (brings) {
        let nextLeft = left - min(left, CHUNK);
        let nextAt = at + CHUNK * stride;
        delta = get4(p.delta + nextAt, stride, nextLeft);
        u = get4(p.u + nextAt, stride, nextLeft);
        if (p.z != 0u) { z = get4(p.z + nextAt, stride, nextLeft); }
      }
      for (var i = 0u; i < LOADS; i += 1u) {
        let place4 = t + i * 256u;
        let token = begin + CHUNK + place4 / QUADS;
        let from_ = base + (place4 % QUADS) * 4u;
        if (token < min(length, begin + 2u * CHUNK)) {
          b[i] = states4(p.b + (segment.row + token) * n * 4u, from_, n);
          c[i] = states4(p.c + (segment.row + token) * n * 4u, from_, n);
        }
      }
      var factors: array<vec4f, STEPS>;
      var local = vec4f();
      var sum = 0.0;
      for (var k = 0u; k < STEP_QUADS; k += 1u) {
        let steps = tile[(time * STEP_QUADS + k) * 16u + lane];
        let entering = tile[AT_ENTERING + (time * STEP_QUADS + k) * 16u + lane];
        let row = AT_B + (time * STEPS + k * 4u) * QUADS + quad;
        let f0 = exp2(min(steps.x * a, vec4f(126.0)));
        let f1 = exp2(min(steps.y * a, vec4f(126.0)));
        let f2 = exp2(min(steps.z * a, vec4f(126.0)));
        let f3 = exp2(min(steps.w * a, vec4f(126.0)));
        factors[k * 4u] = f0;
        factors[k * 4u + 1u] = f1;
        factors[k * 4u + 2u] = f2;
        factors[k * 4u + 3u] = f3;
        local = f0 * local + entering.x * tile[row];
        local = f1 * local + entering.y * tile[row + QUADS];
        local = f2 * local + entering.z * tile[row + 2u * QUADS];
        local = f3 * local + entering.w * tile[row + 3u * QUADS];
        sum += (steps.x + steps.y) + (steps.z + steps.w);
      }
      decays[t] = exp2(min(sum * a, vec4f(126.0)));
      locals[t] = local;
      workgroupBarrier();
      var h = carry;
      for (var j = 0u; j < TIMES; j += 1u) {
        if (j == time) { h = carry; }
        let end = (j * QUADS + quad) * 16u + lane;
        carry = decays[end] * carry + locals[end];
      }
      var y: array<vec4f, STEP_QUADS>;
      for (var k = 0u; k < STEP_QUADS; k += 1u) {
        let entering = tile[AT_ENTERING + (time * STEP_QUADS + k) * 16u + lane];
        let row = (time * STEPS + k * 4u) * QUADS + quad;
        h = factors[k * 4u] * h + entering.x * tile[AT_B + row];
        let y0 = dot(h, tile[AT_C + row]);
        h = factors[k * 4u + 1u] * h + entering.y * tile[AT_B + row + QUADS];
        let y1 = dot(h, tile[AT_C + row + QUADS]);
        h = factors[k * 4u + 2u] * h + entering.z * tile[AT_B + row + 2u * QUADS];
        let y2 = dot(h, tile[AT_C + row + 2u * QUADS]);
        h = factors[k * 4u + 3u] * h + entering.w * tile[AT_B + row + 3u * QUADS];
        let y3 = dot(h, tile[AT_C + row + 3u * QUADS]);
        y[k] = vec4f(y0, y1, y2, y3);
      }
      workgroupBarrier();
      for (var k = 0u; k < STEP_QUADS; k += 1u) {
        tile[((time * STEP_QUADS + k) * 16u + lane) * QUADS + quad] = y[k];
      }
      workgroupBarrier();
      if (brings) {
        var out = vec4f();
        for (var q = 0u; q < QUADS; q += 1u) { out += tile[t * QUADS + q]; }
        if (base > 0u) { out += get4(p.o + at, stride, left); }
        if (lastGroup) {
          out += skip * uNow;
          if (p.z != 0u) { out *= silu4(zNow); }
        }
        put4(p.o + at, stride, out, left);
      }
      if (p.running != 0u && base == 0u) {
        // sums of step sizes: the tile is gone, and a sum runs through all places of the chunk
        workgroupBarrier();
        if (place < CHUNK / 4u) { tile[t] = vec4f(dt.x, dt.x + dt.y, dt.x + dt.y + dt.z, (dt.x + dt.y) + (dt.z + dt.w)); }
        workgroupBarrier();
        var before = sumBefore;
        for (var j = 0u; j < CHUNK / 4u; j += 1u) {
          if (j == place) { before = sumBefore; }
          sumBefore += tile[j * 16u + lane].w;
        }
        if (brings) { put4(p.running + at, stride, tile[t] + before, left); }
      }
      workgroupBarrier();
    }
    if (inside && time == 0u) {
      let to = p.final_ + (segment.state * channels + channel) * n * 4u;
      if (state < n) { storeF(to + state * 4u, carry.x); }
      if (state + 1u < n) { storeF(to + state * 4u + 4u, carry.y); }
      if (state + 2u < n) { storeF(to + state * 4u + 8u, carry.z); }
      if (state + 3u < n) { storeF(to + state * 4u + 12u, carry.w); }
    }
  }
}
