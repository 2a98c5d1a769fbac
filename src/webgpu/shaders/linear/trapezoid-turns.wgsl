//! params TrapezoidParams
//! extra blocks: u32
//! use group, decay, pair, turns
// Turns of each pair of a key up to its token: the fraction of angleIn / 2 pi + sum of tanh(angles_s) dt_s / 2, kept in two floats.
//
//   angles    f32 [B, T, HV, R]     rows contiguous
//   dt        f32 [B, T, HV]        any strides
//   angleIn, angleOut  f32 [N, HV, R]   angleIn may be absent, or angleOut
//   kTurned   f32 [B, T, HV, K]     the turns, as the first R elements of each row
//
// Group: 16 angles of a sequence and head; sixteen threads to an angle, each with 8 tokens of 128. Mamba-3, 2026.

const ANGLES = 16u;
const LANES = 16u;
const RUN = 8u;

var<workgroup> sequenceLength: u32;
var<workgroup> highs: array<f32, 256>;
var<workgroup> lows: array<f32, 256>;

fn fraction(x: vec2f) -> vec2f { return addPairs(vec2f(x.x - floor(x.x), 0.0), vec2f(x.y, 0.0)); }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let angles = u32(p.angleCount);
  let pair = group / p.blocks;
  let n = pair / heads;
  let head = i32(pair - n * heads);
  let angle = (group - pair * p.blocks) * ANGLES + t % ANGLES;
  let there = angle < angles;
  let lane = t / ANGLES;
  let at = p.sequences + n * 32u;
  let batch = loadI(at);
  let start = loadI(at + 4u);
  if (t == 0u) { sequenceLength = loadU(at + 8u); }
  let length = workgroupUniformLoad(&sequenceLength);
  let state = (pair * angles + angle) * 4u;
  var begun = 0.0;
  if (there && p.angleIn != 0u) { begun = loadF(p.angleIn + state); }
  var carry = fraction(vec2f(begun * 0.15915494309189535, 0.0));
  for (var first = 0u; first < length; first += LANES * RUN) {
    let begin = first + lane * RUN;
    var steps = array<vec2f, 8>();
    var own = vec2f();
    for (var i = 0u; i < RUN; i += 1u) {
      if (there && begin + i < length) {
        let token = start + i32(begin + i);
        let row = batch * p.anglesStrideB + token * p.anglesStrideT + head * p.anglesStrideH;
        let dt = loadF(p.dt + u32(batch * p.dtStrideB + token * p.dtStrideT + head * p.dtStrideH) * 4u) * 0.5;
        let share = exactTanh(loadF(p.angles + (u32(row) + angle) * 4u));
        steps[i] = exactProduct(share, dt);
      }
      own = addPairs(own, steps[i]);
    }
    workgroupBarrier();
    highs[t] = own.x;
    lows[t] = own.y;
    workgroupBarrier();
    var sum = carry;
    for (var i = 0u; i < LANES; i += 1u) {
      let other = vec2f(highs[i * ANGLES + t % ANGLES], lows[i * ANGLES + t % ANGLES]);
      if (i < lane) { sum = addPairs(sum, other); }
      carry = addPairs(carry, other);
    }
    carry = fraction(carry);
    for (var i = 0u; i < RUN; i += 1u) {
      sum = fraction(addPairs(sum, steps[i]));
      if (there && begin + i < length) {
        let row = (batch * p.length + start + i32(begin + i)) * p.heads + head;
        storeF(p.kTurned + (u32(row * p.dk) + angle) * 4u, sum.x + sum.y);
      }
    }
  }
  if (!there || lane != 0u) { return; }
  let rest = carry.x + carry.y;
  storeF(p.angleOut + state, select((rest - floor(rest)) * 6.283185307179586, begun, length == 0u));
}
