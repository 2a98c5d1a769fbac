//! params LogLinearParams
//! extra slot: u32, slots_: u32, length: i32, kp: u32, vp: u32, stateBytes: u32, keys: u32, states: u32, decays: u32, blocks: u32
//! use group, storage, log-slots, decay
// The slots of the state after a call, and its position, for the sequences that end in the chunks at hand.
//
//   keys      f32 [chunks][64][kp]     of log-prepare, decayed to the end of their chunk
//   states    f32 [slots][HV][kp][vp]  of log-tree
//   decays    f32 [slots][HV][4]       of log-sums
//   stateIn   f32 [N, HV, slotsIn, K, V], stateOut f32 [N, HV, slotsOut, K, V]   may be the same
//   positionOut  i32 [N]
//
// A slot is made of slots of the initial state that are no higher, so the highest is written first. Guo 2025. Thread: one element.

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let pair = group / p.blocks;
  let n = pair / heads;
  let head = pair - n * heads;
  let e = (group - pair * p.blocks) * 128u + t;
  let tokens = positionsOf(n);
  let before = tokens.x;
  let after = tokens.x + tokens.y;
  let slots = slotsOf(n);
  let last = slots.x + slots.y - 1u;
  if (slots.y == 0u) {
    if (p.slot != 0u) { return; }
  } else if (last < p.slot || last >= p.slot + p.slots_) {
    return;
  }
  if (e == 0u && head == 0u) { storeI(p.positionOut + n * 4u, i32(after)); }
  let dk = u32(p.dk);
  let dv = u32(p.dv);
  if (e >= dk * dv) { return; }
  let k = e / dv;
  let v = e - k * dv;
  let firstNumber = before / CHUNK;
  var all = vec2f();
  if (slots.y != 0u) { all = vec2f(loadF(p.decays + (last * heads + head) * 16u + 8u), loadF(p.decays + (last * heads + head) * 16u + 12u)); }
  let kept = decay4(vec4f(all.x)).x * (1.0 + all.y);
  let c = chunkAt(last);
  let keys = p.keys + ((last - p.slot) * heads + head) * p.kp * 256u;
  let vFirst = c.batch * p.vStrideB + c.start * p.vStrideT + i32(head) * p.vStrideH + i32(v);
  for (var s = p.slotsOut - 1; s >= 0; s -= 1) {
    let bit = u32(s);
    let to = p.stateOut + ((pair * u32(p.slotsOut) + bit) * dk * dv + e) * 4u;
    if (((after >> bit) & 1u) == 0u) {
      if (p.stateIn != p.stateOut || ((before >> bit) & 1u) != 0u) { storeF(to, 0.0); }
      continue;
    }
    var x = 0.0;
    for (var old = 0u; (before >> old) != 0u; old += 1u) {
      if (((before >> old) & 1u) == 0u) { continue; }
      if (levelOf(((before >> old) ^ 1u) << old, after) != bit) { continue; }
      x += kept * loadF(p.stateIn + ((pair * u32(p.slotsIn) + old) * dk * dv + e) * 4u);
    }
    if (slots.y != 0u && bit >= 6u) {
      let end = (after >> bit) << (bit - 6u);
      if (end > firstNumber) {
        let at = (slots.x + end - 1u - firstNumber) * heads + head;
        let high = all.x - loadF(p.decays + at * 16u + 8u);
        let low = all.y - loadF(p.decays + at * 16u + 12u);
        x = fma(decay4(vec4f(high + low)).x, loadF(p.states + at * p.stateBytes + (k * p.vp + v) * 4u), x);
      }
    } else if (slots.y != 0u) {
      let first = (((after >> bit) ^ 1u) << bit) & 63u;
      for (var j = first; j < first + (1u << bit); j += 1u) {
        if (!has(c, j)) { continue; }
        x = fma(loadF(keys + (j * p.kp + k) * 4u), loadAs(p.vType, p.v, vFirst + i32(j) * p.vStrideT), x);
      }
    }
    storeF(to, x);
  }
}
