// Chunks of 64 tokens of the sequences of LinearParams. Slots number them: without a table perSequence for each sequence; with one
// those of sequence n begin at floor(first row / 64) + n, which leaves room for all and at most one slot free.

const CHUNK = 64u;

struct Chunk {
  sequence: u32,
  batch: i32,
  // row of the first token within the batch entry, and number of tokens: 0 in a free slot
  start: i32,
  count: u32,
}

// First slot and number of chunks of sequence n.
fn slotsOf(n: u32) -> vec2u {
  if (p.sequences == 0u) { return vec2u(n * p.perSequence, p.perSequence); }
  let at = p.sequences + n * 32u;
  let row = loadI(at) * p.length + loadI(at + 4u);
  return vec2u(u32(row) / CHUNK + n, (loadU(at + 8u) + CHUNK - 1u) / CHUNK);
}

fn chunkAt(slot: u32) -> Chunk {
  if (p.sequences == 0u) {
    let n = slot / p.perSequence;
    let start = i32((slot - n * p.perSequence) * CHUNK);
    return Chunk(n, i32(n), start, u32(min(64, p.length - start)));
  }
  var low = 0u;
  var high = u32(p.sequenceCount) - 1u;
  while (low < high) {
    let middle = (low + high + 1u) / 2u;
    if (slotsOf(middle).x <= slot) { low = middle; } else { high = middle - 1u; }
  }
  let at = p.sequences + low * 32u;
  let first = i32((slot - slotsOf(low).x) * CHUNK);
  return Chunk(low, loadI(at), loadI(at + 4u) + first, u32(clamp(loadI(at + 8u) - first, 0, 64)));
}

// Address of a token's number of a head in a contiguous f32 [B, T, HV].
fn tokenAt(base: u32, c: Chunk, i: u32, head: u32) -> u32 {
  return base + (u32(c.batch * p.length + c.start) + i) * u32(p.heads) * 4u + head * 4u;
}
