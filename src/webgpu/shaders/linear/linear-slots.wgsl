//! use linear-chunk
// Chunks of the sequences of LinearParams, by slots: without a table perSequence for each sequence; with one those of sequence n begin at
// floor(first token / 64) + n, which leaves room for all and at most one slot free.

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
    return Chunk(n, i32(n), start, 0u, u32(min(64, p.length - start)));
  }
  var low = 0u;
  var high = u32(p.sequenceCount) - 1u;
  while (low < high) {
    let middle = (low + high + 1u) / 2u;
    if (slotsOf(middle).x <= slot) { low = middle; } else { high = middle - 1u; }
  }
  let at = p.sequences + low * 32u;
  let first = i32((slot - slotsOf(low).x) * CHUNK);
  return Chunk(low, loadI(at), loadI(at + 4u) + first, 0u, u32(clamp(loadI(at + 8u) - first, 0, 64)));
}
