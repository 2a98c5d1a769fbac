//! use linear-chunk
// Chunks of the sequences of LogLinearParams, cut where positions are multiples of 64: a sequence that goes on begins within one. Slots
// number them: those of sequence n begin at floor(first token / 64) + 2 n, which leaves room for all.

// Tokens before the call and in it.
fn positionsOf(n: u32) -> vec2u { return vec2u(loadU(p.sequences + n * 32u + 20u), loadU(p.sequences + n * 32u + 8u)); }

// First slot and number of chunks of sequence n.
fn slotsOf(n: u32) -> vec2u {
  let at = p.sequences + n * 32u;
  let row = u32(loadI(at) * p.length + loadI(at + 4u));
  let tokens = positionsOf(n);
  let chunks = select((tokens.x + tokens.y - 1u) / CHUNK - tokens.x / CHUNK + 1u, 0u, tokens.y == 0u);
  return vec2u(row / CHUNK + 2u * n, chunks);
}

fn chunkAt(slot: u32) -> Chunk {
  var low = 0u;
  var high = u32(p.sequenceCount) - 1u;
  while (low < high) {
    let middle = (low + high + 1u) / 2u;
    if (slotsOf(middle).x <= slot) { low = middle; } else { high = middle - 1u; }
  }
  let at = p.sequences + low * 32u;
  let tokens = positionsOf(low);
  let slots = slotsOf(low);
  if (slot - slots.x >= slots.y) { return Chunk(low, loadI(at), loadI(at + 4u), 0u, 0u); }
  let begin = (tokens.x / CHUNK + slot - slots.x) * CHUNK;
  return Chunk(
    low,
    loadI(at),
    loadI(at + 4u) + i32(begin) - i32(tokens.x),
    max(tokens.x, begin) - begin,
    min(CHUNK, tokens.x + tokens.y - begin),
  );
}

// The slot that token `token` is in once `position` tokens are past.
fn levelOf(token: u32, position: u32) -> u32 { return firstLeadingBit(token ^ position); }
