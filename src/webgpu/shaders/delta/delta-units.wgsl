// Chunks of C tokens of delta rules, and what their passes leave for each other at p.scratch. A unit is one chunk of one head; p.count chunks
// from p.first on are in work, of all heads. kp is dk rounded up to 16. A unit's parts, in floats, one behind the other:
//
//   right   [kp + C][dv]      the state before the chunk; what its tokens write, u: at first T beta v.  Before the states: A turned, [C][C]
//   left    [kp + C][C]       q decayed from the chunk's start, turned; q k^T up to the diagonal with the decays between, turned
//   w       [kp / 4][C][4]    beta a decayed from the chunk's start; then T times that
//   keys    [C / 4][kp][4]    k decayed to the chunk's end, turned
//   decays  [kp]              of the state's rows over the chunk
//
// A is below the diagonal beta_i a_i k_j with the decays between, T = (I + A)^-1, and u = T beta v - w S (the WY form of DeltaNet, Yang 2024).

fn kp() -> u32 { return u32(p.dk + 15) & ~15u; }
fn rightBytes() -> u32 { return max((kp() + C) * u32(p.dv), C * C) * 4u; }
fn leftBytes() -> u32 { return (kp() + C) * C * 4u; }
fn unitBytes() -> u32 { return rightBytes() + leftBytes() + kp() * C * 8u + kp() * 4u; }
fn unitAt(slot: i32, head: i32) -> u32 { return p.scratch + u32((slot - p.first) * p.heads + head) * unitBytes(); }
fn leftOf(unit: u32) -> u32 { return unit + rightBytes(); }
fn wOf(unit: u32) -> u32 { return leftOf(unit) + leftBytes(); }
fn keysOf(unit: u32) -> u32 { return wOf(unit) + kp() * C * 4u; }
fn decaysOf(unit: u32) -> u32 { return keysOf(unit) + kp() * C * 4u; }

fn chunksOf(length: i32) -> i32 { return (length + i32(C) - 1) / i32(C); }

// A chunk: its rows begin at `start` of the batch entry; `length` of them are there, none where the number is behind the last chunk.
struct DeltaChunk { batch: i32, start: i32, length: i32 }

var<workgroup> chunkSpan: DeltaChunk;

// Chunk `slot` of all sequences, the same for the whole workgroup, which must call it together.
fn deltaChunk(slot: i32, t: u32) -> DeltaChunk {
  if (t == 0u) {
    var found = DeltaChunk(0, 0, 0);
    if (p.sequences == 0u) {
      let chunks = chunksOf(p.length);
      let n = slot / chunks;
      found = DeltaChunk(n, (slot - n * chunks) * i32(C), p.length);
    } else {
      var left = slot;
      for (var n = 0; n < p.sequenceCount; n += 1) {
        let at = p.sequences + u32(n) * 32u;
        let length = loadI(at + 8u);
        let chunks = chunksOf(length);
        if (left < chunks) {
          found = DeltaChunk(loadI(at), loadI(at + 4u) + left * i32(C), loadI(at + 4u) + length);
          break;
        }
        left -= chunks;
      }
    }
    // so far `length` is where the sequence ends
    found.length = min(i32(C), found.length - found.start);
    chunkSpan = found;
  }
  return workgroupUniformLoad(&chunkSpan);
}
