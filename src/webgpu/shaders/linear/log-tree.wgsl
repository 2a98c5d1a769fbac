//! params LogLinearParams
//! extra length: i32, kp: u32, vp: u32, stateBytes: u32, states: u32, decays: u32, blocks: u32
//! use group, log-slots, decay
// What chunks add to the state, joined as a binary counter carries: in the place of chunk c comes the sum over the chunks of the lowest
// bit of c + 1, the last of which is c, decayed to its end. Every state that a later chunk reads is one of these.
//
//   states  f32 [slots][HV][kp][vp]   stateBytes apart
//   decays  f32 [slots][HV][4]        of log-sums
//
// Chunks from before the call count as zeros: their slots are read from the initial state. Guo 2025. Thread: four elements.

var<private> nodes: array<vec4f, 24>;
var<private> spans: array<f32, 24>;

// Takes chunk c into the counter; its node.
fn carry(c: u32, added: vec4f, sum: vec2f) -> vec4f {
  var node = added;
  var span = decay4(vec4f(sum.x)).x * (1.0 + sum.y);
  var level = 0u;
  while (((c >> level) & 1u) != 0u) {
    node = fma(vec4f(span), nodes[level], node);
    span *= spans[level];
    level += 1u;
  }
  nodes[level] = node;
  spans[level] = span;
  return node;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let heads = u32(p.heads);
  let pair = group / p.blocks;
  let n = pair / heads;
  let head = pair - n * heads;
  let e = (group - pair * p.blocks) * 64u + t;
  if (e >= p.kp * p.vp / 4u) { return; }
  for (var i = 0u; i < 24u; i += 1u) {
    nodes[i] = vec4f();
    spans[i] = 0.0;
  }
  let slots = slotsOf(n);
  var c = positionsOf(n).x / CHUNK;
  let end = c + slots.y;
  let step = heads * p.stateBytes;
  let sumStep = heads * 16u;
  var at = p.states + (slots.x * heads + head) * p.stateBytes + e * 16u;
  var sumAt = p.decays + (slots.x * heads + head) * 16u;
  // loads before stores: they would wait for them
  for (; c + 4u <= end; c += 4u) {
    let x0 = loadF4(at);
    let x1 = loadF4(at + step);
    let x2 = loadF4(at + 2u * step);
    let x3 = loadF4(at + 3u * step);
    let d0 = loadF4(sumAt).xy;
    let d1 = loadF4(sumAt + sumStep).xy;
    let d2 = loadF4(sumAt + 2u * sumStep).xy;
    let d3 = loadF4(sumAt + 3u * sumStep).xy;
    storeF4(at, carry(c, x0, d0));
    storeF4(at + step, carry(c + 1u, x1, d1));
    storeF4(at + 2u * step, carry(c + 2u, x2, d2));
    storeF4(at + 3u * step, carry(c + 3u, x3, d3));
    at += 4u * step;
    sumAt += 4u * sumStep;
  }
  for (; c < end; c += 1u) {
    storeF4(at, carry(c, loadF4(at), loadF4(sumAt).xy));
    at += step;
    sumAt += sumStep;
  }
}
