//! use lines
// Entries of the lists of ListedParams, 32 of a row by a workgroup of 256: eight threads an entry.

var<workgroup> entryParts: array<vec3f, 256>;

struct Entry { item: i32, i: i32, batch: i32, h: i32, n: i32, count: i32, j: i32, hidden: bool }

// Entry n of row `item`, of at most `most`; its key is one that there is even past the last entry.
fn entryOf(item: i32, n: i32, most: i32) -> Entry {
  let at = lineOf(item);
  let count = min(most, loadI(p.counts + u32(item) * 4u));
  var j = 0;
  if (n < count) { j = loadI(p.indices + u32(item * most + n) * 4u); }
  // what is taken in any case scores nothing
  let hidden = n >= count || j < p.first || j >= p.columns - p.rows + at.row + 1 - p.last;
  return Entry(item, at.row, at.batch, at.head, n, count, clamp(j, 0, p.columns - 1), hidden);
}

// Sums over the eight threads of an entry.
fn sumEntry(t: u32, x: vec3f) -> vec3f {
  entryParts[t] = x;
  workgroupBarrier();
  var sum = vec3f();
  for (var n = 0u; n < 8u; n += 1u) { sum += entryParts[(t & ~7u) + n]; }
  return sum;
}
