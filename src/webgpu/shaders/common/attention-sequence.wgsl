//! use special, sequence
// Which keys of a sequence the window shows to a query.

// First key (of a sequence) that query row i sees, and one past the last.
fn firstKey(s: Sequence, i: i32) -> i32 { return select(max(0, i + s.offset - p.windowLeft), 0, p.windowLeft < 0); }
fn endKey(s: Sequence, i: i32) -> i32 {
  return select(min(s.kLength, i + s.offset + p.windowRight + 1), s.kLength, p.windowRight < 0);
}
