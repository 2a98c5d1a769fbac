// The key tiles of a query block by a block list: an entry names 64 keys, and the tile of bits that says which row sees which.

const ALL_SEEN = false;

var<workgroup> listRange: vec2i;

fn openTiles(s: Sequence, h: i32, q0: i32, rows: i32, group: u32, t: u32) -> i32 {
  if (t == 0u) {
    let place = s.batch * p.listOfStrideB + h * p.listHeads / p.heads;
    let list = loadI(p.listOf + u32(place) * 4u);
    let at = p.listRows + u32(list * p.listBlocks + q0 / p.blockQ) * 4u;
    listRange = vec2i(loadI(at), loadI(at + 4u));
  }
  let range = workgroupUniformLoad(&listRange);
  return (range.y - range.x) * i32(64u / BN);
}

fn entryAt(step: i32) -> u32 { return p.listEntries + u32(listRange.x + step / i32(64u / BN)) * 8u; }

fn tileAt(s: Sequence, q0: i32, group: u32, step: i32) -> i32 {
  return loadI(entryAt(step)) * i32(64u / BN) + step % i32(64u / BN);
}

fn bitsOf(s: Sequence, h: i32, q0: i32, group: u32, step: i32, i: i32, j0: i32) -> vec4<bool> {
  let tile = loadI(entryAt(step) + 4u);
  if (tile < 0) { return vec4<bool>(true); }
  let key = u32(j0) % 64u;
  let word = loadU(p.listTiles + u32(tile * p.blockQ + i % p.blockQ) * 8u + (key / 32u) * 4u);
  let bits = vec4u(word) >> (vec4u(key % 32u) + vec4u(0u, 1u, 2u, 3u));
  return (bits & vec4u(1u)) != vec4u(0u);
}
