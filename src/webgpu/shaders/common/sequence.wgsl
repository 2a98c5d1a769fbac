// The sequences of a batch: entries of eight words of the table at p.sequences, class Sequence of the params.

struct Sequence {
  batch: i32, qStart: i32, qLength: i32, kStart: i32, kLength: i32, offset: i32, packBlock: i32, firstItem: i32,
}

fn sequenceAt(i: u32) -> Sequence {
  let at = p.sequences + i * 32u;
  return Sequence(
    loadI(at), loadI(at + 4u), loadI(at + 8u), loadI(at + 12u), loadI(at + 16u), loadI(at + 20u), loadI(at + 24u),
    loadI(at + 28u),
  );
}

// The last entry whose word at byte offset `field`, by which the table is sorted, is at most `most`.
fn sequenceBy(field: u32, most: i32) -> u32 {
  var low = 0u;
  var high = u32(max(p.sequenceCount, 1)) - 1u;
  while (low < high) {
    let middle = (low + high + 1u) / 2u;
    if (loadI(p.sequences + middle * 32u + field) <= most) { low = middle; } else { high = middle - 1u; }
  }
  return low;
}

// The sequence whose range of work items holds `item`, and the one whose packed blocks hold `block`.
fn sequenceOfItem(item: i32) -> u32 { return sequenceBy(28u, item); }
fn sequenceOfBlock(block: i32) -> u32 { return sequenceBy(24u, block); }
