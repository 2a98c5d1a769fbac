// The arena as words: for shaders that write single elements, or rows that begin at any element.
// All addresses are bytes, as in the params; elements of four bytes lie at multiples of four. readUnit and writeUnit are made for the
// number of buffers that the arena has (banks-text.ts).

fn loadU(at: u32) -> u32 { return readUnit(at >> 2u); }
fn loadI(at: u32) -> i32 { return bitcast<i32>(readUnit(at >> 2u)); }
fn loadF(at: u32) -> f32 { return bitcast<f32>(readUnit(at >> 2u)); }
fn loadU4(at: u32) -> vec4u {
  let i = at >> 2u;
  return vec4u(readUnit(i), readUnit(i + 1u), readUnit(i + 2u), readUnit(i + 3u));
}
fn loadF4(at: u32) -> vec4f { return bitcast<vec4f>(loadU4(at)); }

fn storeU(at: u32, x: u32) { writeUnit(at >> 2u, x); }
fn storeI(at: u32, x: i32) { writeUnit(at >> 2u, bitcast<u32>(x)); }
fn storeF(at: u32, x: f32) { writeUnit(at >> 2u, bitcast<u32>(x)); }
fn storeF4(at: u32, x: vec4f) {
  let i = at >> 2u;
  let bits = bitcast<vec4u>(x);
  writeUnit(i, bits.x);
  writeUnit(i + 1u, bits.y);
  writeUnit(i + 2u, bits.z);
  writeUnit(i + 3u, bits.w);
}

// What a thread of a simple kernel takes at a time: an element here, a vector where the memory is wide. Shaders say Piece and serve both.
alias Piece = f32;
const PIECE = 1u;
fn loadPiece(at: u32) -> Piece { return loadF(at); }
fn storePiece(at: u32, x: Piece) { storeF(at, x); }

// A vector of which only `left` elements are there, zeros behind them; and its store.
fn loadSome(at: u32, left: i32) -> vec4f {
  var x = vec4f(0.0);
  let i = at >> 2u;
  if (left > 0) { x.x = bitcast<f32>(readUnit(i)); }
  if (left > 1) { x.y = bitcast<f32>(readUnit(i + 1u)); }
  if (left > 2) { x.z = bitcast<f32>(readUnit(i + 2u)); }
  if (left > 3) { x.w = bitcast<f32>(readUnit(i + 3u)); }
  return x;
}
fn storeSome(at: u32, x: vec4f, left: i32) {
  if (left > 0) { storeF(at, x.x); }
  if (left > 1) { storeF(at + 4u, x.y); }
  if (left > 2) { storeF(at + 8u, x.z); }
  if (left > 3) { storeF(at + 12u, x.w); }
}
fn storeU4(at: u32, x: vec4u) {
  let i = at >> 2u;
  writeUnit(i, x.x);
  writeUnit(i + 1u, x.y);
  writeUnit(i + 2u, x.z);
  writeUnit(i + 3u, x.w);
}
