//! use map-rows
// The columns of one row of a choice: forced [0, first) and [last, end), candidates [from, to).

const COUNTED_FORCED = 0;
const UNION_FORCED = 2;

struct Span { first: i32, last: i32, end: i32, from_: i32, to_: i32 }

fn spanOf(i: i32) -> Span {
  let n = visibleColumns(i);
  let first = min(p.first, n);
  let last = max(first, n - p.last);
  if (p.forced == UNION_FORCED) { return Span(first, last, n, 0, n); }
  return Span(first, last, n, first, last);
}

fn isForced(s: Span, j: i32) -> bool { return j < s.first || (j >= s.last && j < s.end); }

fn isCandidate(s: Span, j: i32) -> bool { return j >= s.from_ && j < s.to_; }

// Address of a row's value of `each`.
fn eachAt(list: i32, i: i32) -> u32 {
  let batch = list / p.lists;
  let head = list - batch * p.lists;
  return p.each + u32(batch * p.eachStrideB + head * p.eachStrideH + i * p.eachStrideR) * 4u;
}

// Address of the bits of a row.
fn bitsAt(list: i32, i: i32) -> u32 { return p.bits + u32(list * p.bitsStride + i * p.words) * 4u; }
