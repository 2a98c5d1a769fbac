// The arena as words: for shaders that write single elements, or rows that begin at any element.
// All addresses are bytes, as in the params; elements of four bytes lie at multiples of four.

@group(0) @binding(0) var<storage, read_write> mem: array<u32>;

fn loadU(at: u32) -> u32 { return mem[at >> 2u]; }
fn loadI(at: u32) -> i32 { return bitcast<i32>(mem[at >> 2u]); }
fn loadF(at: u32) -> f32 { return bitcast<f32>(mem[at >> 2u]); }
fn loadU4(at: u32) -> vec4u {
  let i = at >> 2u;
  return vec4u(mem[i], mem[i + 1u], mem[i + 2u], mem[i + 3u]);
}
fn loadF4(at: u32) -> vec4f { return bitcast<vec4f>(loadU4(at)); }

fn storeU(at: u32, x: u32) { mem[at >> 2u] = x; }
fn storeI(at: u32, x: i32) { mem[at >> 2u] = bitcast<u32>(x); }
fn storeF(at: u32, x: f32) { mem[at >> 2u] = bitcast<u32>(x); }
fn storeF4(at: u32, x: vec4f) {
  let i = at >> 2u;
  let bits = bitcast<vec4u>(x);
  mem[i] = bits.x;
  mem[i + 1u] = bits.y;
  mem[i + 2u] = bits.z;
  mem[i + 3u] = bits.w;
}
fn storeU4(at: u32, x: vec4u) {
  let i = at >> 2u;
  mem[i] = x.x;
  mem[i + 1u] = x.y;
  mem[i + 2u] = x.z;
  mem[i + 3u] = x.w;
}
