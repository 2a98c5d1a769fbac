//! use storage, sequence
// What PaTH's passes leave for each other, of p.count blocks from p.first on. dk4 is dk rounded up to 4.
//
//   w, k     f32 [Hkv][count][64][dk4]        zero past the end of a sequence
//   q        f32 [Hq][count][64][dk4]         times scale and log2 e
//   overlap  f32 [Hkv + Hq][count][64][64]    -tril_<(beta w w^T); tril(q w^T)
//   xz       f32 [Hkv][count][64][dk4 + 64]   X of the first columns, Z of the last

fn width4() -> u32 { return u32(p.dk + 3) & ~3u; }
fn tileBytes() -> u32 { return 256u * width4(); }
fn headsOfKeys() -> u32 { return u32(p.kvHeads * p.count); }
fn headsOfQueries() -> u32 { return headsOfKeys() * u32(p.group); }

fn wTile(i: u32) -> u32 { return p.scratch + i * tileBytes(); }
fn kTile(i: u32) -> u32 { return p.scratch + (headsOfKeys() + i) * tileBytes(); }
fn qTile(i: u32) -> u32 { return p.scratch + (2u * headsOfKeys() + i) * tileBytes(); }
fn overlapTile(i: u32) -> u32 {
  return p.scratch + (2u * headsOfKeys() + headsOfQueries()) * tileBytes() + i * 16384u;
}
fn xzTile(i: u32) -> u32 { return overlapTile(headsOfKeys() + headsOfQueries()) + i * (tileBytes() + 16384u); }
fn xzRow() -> u32 { return width4() * 4u + 256u; }

// Places among all blocks of a head: of keys and of queries.
fn blockOf(i: u32) -> i32 { return p.first + i32(i) % p.count; }
fn headOf(i: u32) -> i32 { return i32(i) / p.count; }
