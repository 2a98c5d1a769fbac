//! params MergeStateParams
//! use group, special
// Joins two attention results over disjoint keys.
//
//   oA, oB, o        f32 [rows, d]   contiguous; o may be oA or oB
//   lseA, lseB, lse  f32 [rows]      natural units; -Infinity: no key was seen; lse may be lseA or lseB
//
//   lse = ln(e^lseA + e^lseB),  o = oA e^(lseA - lse) + oB e^(lseB - lse)
//
// Workgroup: one row.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = groupIndex(wg, grid);
  if (row >= p.groups) { return; }
  let lseA = loadF(p.lseA + row * 4u);
  let lseB = loadF(p.lseB + row * 4u);
  let hasA = !isNegativeInfinity(lseA);
  let hasB = !isNegativeInfinity(lseB);
  let base = select(lseB, lseA, hasA && (!hasB || lseA > lseB));
  let a = select(0.0, exp2(max((lseA - base) * LOG2E, -200.0)), hasA);
  let b = select(0.0, exp2(max((lseB - base) * LOG2E, -200.0)), hasB);
  let sum = a + b;
  let inverse = select(0.0, 1.0 / sum, sum != 0.0);
  let wa = a * inverse;
  let wb = b * inverse;
  let begin = row * u32(p.d) * 4u;
  for (var c = t; c < u32(p.d); c += 64u) {
    let at = begin + c * 4u;
    storeF(p.o + at, wa * loadF(p.oA + at) + wb * loadF(p.oB + at));
  }
  // all threads have read the row's lse before it may be overwritten
  storageBarrier();
  if (t == 0u) {
    storeU(p.lse + row * 4u, select(NEGATIVE_INFINITY_BITS, bitcast<u32>(base + log(max(sum, 1e-37))), hasA || hasB));
  }
}
