// The key tiles of a query block where the window alone decides: one after another.

const ALL_SEEN = true;

fn firstTile(s: Sequence, q0: i32) -> i32 { return select(firstKey(s, q0) / i32(BN), 0, p.scores != 0u); }

fn openTiles(s: Sequence, h: i32, q0: i32, rows: i32, group: u32, t: u32) -> i32 {
  let end = select(endKey(s, q0 + rows - 1), s.kLength, p.scores != 0u);
  return (end + i32(BN) - 1) / i32(BN) - firstTile(s, q0);
}

fn tileAt(s: Sequence, q0: i32, group: u32, step: i32) -> i32 { return firstTile(s, q0) + step; }

fn bitsOf(s: Sequence, h: i32, q0: i32, group: u32, step: i32, i: i32, j0: i32) -> vec4<bool> { return vec4<bool>(true); }
