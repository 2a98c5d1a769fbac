//! use special
// The sequences of a batch as flash and decode read them: entries of eight words of the table at p.sequences.

struct Sequence { batch: i32, qStart: i32, qLength: i32, kStart: i32, kLength: i32, offset: i32, firstItem: i32 }

fn sequenceAt(i: u32) -> Sequence {
  let at = p.sequences + i * 32u;
  return Sequence(
    loadI(at), loadI(at + 4u), loadI(at + 8u), loadI(at + 12u), loadI(at + 16u), loadI(at + 20u), loadI(at + 28u),
  );
}

// The sequence whose range of work items holds `item`; the table is sorted by firstItem.
fn sequenceOfItem(item: i32) -> u32 {
  var low = 0u;
  var high = u32(max(p.sequenceCount, 1)) - 1u;
  while (low < high) {
    let middle = (low + high + 1u) / 2u;
    if (loadI(p.sequences + middle * 32u + 28u) <= item) { low = middle; } else { high = middle - 1u; }
  }
  return low;
}

// First key (of a sequence) that query row i sees, and one past the last.
fn firstKey(s: Sequence, i: i32) -> i32 { return select(max(0, i + s.offset - p.windowLeft), 0, p.windowLeft < 0); }
fn endKey(s: Sequence, i: i32) -> i32 {
  return select(min(s.kLength, i + s.offset + p.windowRight + 1), s.kLength, p.windowRight < 0);
}
