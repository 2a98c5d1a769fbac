// Where a thread's element, or piece, of [B, T, H, d] lies.

struct Place {
  // batch * T + time
  item: u32,
  batch: i32,
  time: i32,
  head: i32,
  c: i32,
}

// The same place of token batch * T + time.
fn atToken(at: Place, token: i32) -> Place {
  let batch = token / p.length;
  return Place(at.item, batch, token - batch * p.length, at.head, at.c);
}

// Piece i of those of rows of `each` pieces.
fn placeOf(i: u32, each: u32) -> Place {
  let row = i / each;
  let item = row / u32(p.heads);
  return atToken(Place(item, 0, 0, i32(row - item * u32(p.heads)), i32((i - row * each) * PIECE)), i32(item));
}

// Elements before its row in a tensor of these strides, and before it.
fn rowOf(at: Place, strideB: i32, strideT: i32, strideH: i32) -> i32 {
  return at.batch * strideB + at.time * strideT + at.head * strideH;
}
fn offsetOf(at: Place, strideB: i32, strideT: i32, strideH: i32) -> i32 { return rowOf(at, strideB, strideT, strideH) + at.c; }
