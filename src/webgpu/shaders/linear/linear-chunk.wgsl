// Chunks of 64 rows, some of which are tokens of a sequence.

const CHUNK = 64u;

struct Chunk {
  sequence: u32,
  batch: i32,
  // token within the batch entry that row 0 is or would be
  start: i32,
  // rows that are tokens: low to high; none in a free slot
  low: u32,
  high: u32,
}

fn has(c: Chunk, i: u32) -> bool { return i >= c.low && i < c.high; }

// Address of a row's number of a head in a contiguous f32 [B, T, HV].
fn tokenAt(base: u32, c: Chunk, i: u32, head: u32) -> u32 {
  return base + u32((c.batch * p.length + c.start + i32(i)) * p.heads + i32(head)) * 4u;
}
