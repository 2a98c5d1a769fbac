//! params MergePartsParams
//! use group, special
// Joins several attention results of one row, each over keys of its own; keys that are in several count as often.
//
//   parts     f32 [rows, count, d]   contiguous
//   lseParts  f32 [rows, count]      natural units; -Infinity: no key was seen
//   o         f32 [rows, d]          contiguous; must not alias parts
//   lse       f32 [rows]             may be absent
//
//   lse = ln sum_i e^lse_i,  o = sum_i e^(lse_i - lse) o_i;  zeros and -Infinity where no part saw a key
//
// Workgroup: one row.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = groupIndex(wg, grid);
  if (row >= p.groups) { return; }
  let count = u32(p.count);
  let begin = p.lseParts + row * count * 4u;
  var seen = false;
  var base = 0.0;
  for (var i = 0u; i < count; i++) {
    let lse = loadF(begin + i * 4u);
    if (!isNegativeInfinity(lse)) {
      base = select(lse, max(base, lse), seen);
      seen = true;
    }
  }
  var sum = 0.0;
  for (var i = 0u; i < count; i++) { sum += partWeight(begin + i * 4u, base); }
  let inverse = select(0.0, 1.0 / sum, seen);
  for (var c = t; c < u32(p.d); c += 64u) {
    var x = 0.0;
    for (var i = 0u; i < count; i++) {
      x += partWeight(begin + i * 4u, base) * loadF(p.parts + ((row * count + i) * u32(p.d) + c) * 4u);
    }
    storeF(p.o + (row * u32(p.d) + c) * 4u, x * inverse);
  }
  if (p.lse != 0u && t == 0u) {
    storeU(p.lse + row * 4u, select(NEGATIVE_INFINITY_BITS, bitcast<u32>(base + log(max(sum, 1e-37))), seen));
  }
}

fn partWeight(at: u32, base: f32) -> f32 {
  let lse = loadF(at);
  return select(exp2(max((lse - base) * LOG2E, -200.0)), 0.0, isNegativeInfinity(lse));
}
