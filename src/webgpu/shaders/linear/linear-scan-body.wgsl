// The states that chunks begin with, in place of what they add, and the state after the last one: S = diag(decay) S + added.
//
//   states    f32 [chunks][kp][vp], then f32 [kp] with a normalizer   as linear-states leaves them; without writing (mode 1) there
//                                                                     is one for each sequence and head, which becomes the initial one
//   decays    f32 [chunks][kp]
//   stateIn, stateOut, zIn, zOut, decayOut   of LinearParams
//
// `slot` and `slots` are the chunks at hand; a sequence that began before them goes on from stateOut. Thread: four columns of a row, or
// four elements of z or of the decays. Yang 2023 (stage B of the chunk form).

const STATE = 0u;
const KEY_SUM = 1u;
const DECAY = 2u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let pair = group / p.blocks;
  let head = pair % heads;
  let n = pair / heads;
  let columns = p.vp / 4u;
  let e = (group - pair * p.blocks) * 64u + t;
  let inStates = p.kp * columns;
  var part = STATE;
  var k = e / columns;
  var v = (e - k * columns) * 4u;
  if (e >= inStates) {
    let behind = e - inStates;
    let inSums = select(0u, p.kp / 4u, p.normalizer != 0);
    part = select(DECAY, KEY_SUM, behind < inSums);
    k = select(behind - inSums, behind, behind < inSums) * 4u;
    v = 0u;
    let inDecays = select(0u, p.kp / 4u, p.decayOut != 0u);
    if (behind >= inSums + inDecays) { return; }
  }
  let writes = (p.mode & 2) != 0;
  let dk = u32(p.dk);
  let chunks = slotsOf(n);
  let low = max(chunks.x, p.slot);
  let high = min(chunks.x + chunks.y, p.slot + p.slots);
  let begins = low == chunks.x || chunks.y == 0u;
  if (writes && low >= high && !(chunks.y == 0u && p.slot == 0u)) { return; }
  let first = begins || !writes;

  var s = vec4f(select(0.0, 1.0, part == DECAY));
  var to: u32;
  var step = 4u;
  var there: u32;
  if (part == STATE) {
    there = select(0u, min(4u, u32(p.dv) - min(v, u32(p.dv))), k < dk);
    let at = i32(n) * p.inStrideN + i32(head) * p.inStrideH + i32(k) * p.inStrideK + i32(v) * p.inStrideV;
    to = p.stateOut
      + u32(i32(n) * p.stateStrideN + i32(head) * p.stateStrideH + i32(k) * p.stateStrideK + i32(v) * p.stateStrideV) * 4u;
    step = u32(p.stateStrideV) * 4u;
    if (there > 0u) {
      if (!first) { s = get4(to, step, there); }
      else if (p.stateIn != 0u) { s = get4(p.stateIn + u32(at) * 4u, u32(p.inStrideV) * 4u, there); }
    }
  } else {
    there = min(4u, dk - min(k, dk));
    let at = (pair * dk + k) * 4u;
    to = select(p.decayOut, p.zOut, part == KEY_SUM) + at;
    if (there > 0u) {
      if (!first) { s = get4(to, step, there); }
      else if (part == KEY_SUM && p.zIn != 0u) { s = get4(p.zIn + at, step, there); }
    }
  }
  let place = select(e, inStates + k / 4u, part == KEY_SUM) * 16u;
  if (!writes) {
    if (part != DECAY) { storeF4(p.states + pair * p.stateBytes + place, s); }
    return;
  }
  let stateStep = heads * p.stateBytes;
  let decayStep = heads * p.kp * 4u;
  var at = p.states + ((low - p.slot) * heads + head) * p.stateBytes + place;
  var decayAt = p.decays + (((low - p.slot) * heads + head) * p.kp + k) * 4u;
  if (part == STATE) {
    var slot = low;
    // loads before stores: they would wait for them
    for (; slot + 4u <= high; slot += 4u) {
      let x0 = loadF4(at);
      let x1 = loadF4(at + stateStep);
      let x2 = loadF4(at + 2u * stateStep);
      let x3 = loadF4(at + 3u * stateStep);
      let d0 = loadF(decayAt);
      let d1 = loadF(decayAt + decayStep);
      let d2 = loadF(decayAt + 2u * decayStep);
      let d3 = loadF(decayAt + 3u * decayStep);
      let s1 = fma(vec4f(d0), s, x0);
      let s2 = fma(vec4f(d1), s1, x1);
      let s3 = fma(vec4f(d2), s2, x2);
      storeF4(at, s);
      storeF4(at + stateStep, s1);
      storeF4(at + 2u * stateStep, s2);
      storeF4(at + 3u * stateStep, s3);
      s = fma(vec4f(d3), s3, x3);
      at += 4u * stateStep;
      decayAt += 4u * decayStep;
    }
    for (; slot < high; slot += 1u) {
      let x = loadF4(at);
      storeF4(at, s);
      s = fma(vec4f(loadF(decayAt)), s, x);
      at += stateStep;
      decayAt += decayStep;
    }
  } else {
    for (var slot = low; slot < high; slot += 1u) {
      let d = loadF4(decayAt);
      if (part == DECAY) {
        s *= d;
      } else {
        let x = loadF4(at);
        storeF4(at, s);
        s = fma(d, s, x);
      }
      at += stateStep;
      decayAt += decayStep;
    }
  }
  if (there > 0u) { put4(to, step, s, there); }
}
