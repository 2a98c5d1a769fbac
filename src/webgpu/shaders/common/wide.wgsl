// The arena as vectors of four words: one load for 16 bytes, where everything that is written begins at a multiple of 16 bytes.
// All addresses are bytes. There is no store of a single word: it might write its neighbours too. readUnit, readLane and writeUnit are made
// for the number of buffers that the arena has (banks-text.ts).

fn loadU(at: u32) -> u32 { return readLane(at >> 4u, (at >> 2u) & 3u); }
fn loadI(at: u32) -> i32 { return bitcast<i32>(loadU(at)); }
fn loadF(at: u32) -> f32 { return bitcast<f32>(loadU(at)); }
fn loadU4(at: u32) -> vec4u { return readUnit(at >> 4u); }
fn loadF4(at: u32) -> vec4f { return bitcast<vec4f>(readUnit(at >> 4u)); }

fn storeF4(at: u32, x: vec4f) { writeUnit(at >> 4u, bitcast<vec4u>(x)); }

// What a thread of a simple kernel takes at a time: a vector here, an element where the memory is words. Shaders say Piece and serve both.
alias Piece = vec4f;
const PIECE = 4u;
fn loadPiece(at: u32) -> Piece { return loadF4(at); }
fn storePiece(at: u32, x: Piece) { storeF4(at, x); }

// A vector of which only `left` elements are there, here a multiple of four, zeros behind them; and its store.
fn loadSome(at: u32, left: i32) -> vec4f {
  if (left > 0) { return loadF4(at); }
  return vec4f(0.0);
}
fn storeSome(at: u32, x: vec4f, left: i32) {
  if (left > 0) { storeF4(at, x); }
}
fn storeU4(at: u32, x: vec4u) { writeUnit(at >> 4u, x); }
