//! params LogLinearParams
//! extra length: i32, decays: u32
//! use group, log-slots, pair
// Running sums of the gates of a call, behind those of its chunks.
//
//   decays  f32 [slots][HV][4]   sum of a chunk in two parts; sum from the first token of the call to the chunk's last, likewise
//
// Thread: one sequence and head.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let pair = groupIndex(wg, grid) * 64u + t;
  let heads = u32(p.heads);
  let n = pair / heads;
  if (n >= u32(p.sequenceCount)) { return; }
  let slots = slotsOf(n);
  let step = heads * 16u;
  var at = p.decays + (slots.x * heads + pair - n * heads) * 16u;
  var sum = vec2f();
  var left = slots.y;
  // loads before stores: they would wait for them
  for (; left >= 4u; left -= 4u) {
    let x0 = loadF4(at);
    let x1 = loadF4(at + step);
    let x2 = loadF4(at + 2u * step);
    let x3 = loadF4(at + 3u * step);
    let s0 = addPairs(sum, x0.xy);
    let s1 = addPairs(s0, x1.xy);
    let s2 = addPairs(s1, x2.xy);
    sum = addPairs(s2, x3.xy);
    storeF4(at, vec4f(x0.xy, s0));
    storeF4(at + step, vec4f(x1.xy, s1));
    storeF4(at + 2u * step, vec4f(x2.xy, s2));
    storeF4(at + 3u * step, vec4f(x3.xy, sum));
    at += 4u * step;
  }
  for (; left > 0u; left -= 1u) {
    let x = loadF4(at);
    sum = addPairs(sum, x.xy);
    storeF4(at, vec4f(x.xy, sum));
    at += step;
  }
}
