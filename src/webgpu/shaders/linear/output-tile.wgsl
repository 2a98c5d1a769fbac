//! use value-rows, product-tile
// Outputs of a chunk and head in tiles of 64 columns. The shader says what is done with four columns of row i before they are written:
//
//   fn finished(tile: OutputTile, i: u32, products: vec4f) -> vec4f

struct OutputTile {
  c: Chunk,
  // chunk * heads + head
  chunk: u32,
  head: u32,
  // the thread's first column
  v: u32,
  // elements before the rows of the chunk's first token
  vFirst: i32,
  oFirst: i32,
  // address of what linear-prepare left
  left: u32,
}

fn outputTile(group: u32, t: u32) -> OutputTile {
  let tiles = (p.vp + 63u) / 64u;
  let chunk = group / tiles;
  let v = (group - chunk * tiles) * 64u + (t % 16u) * 4u;
  let heads = u32(p.heads);
  let head = chunk % heads;
  let c = chunkAt(p.slot + chunk / heads);
  let oFirst = c.batch * p.oStrideB + c.start * p.oStrideT + i32(head) * p.oStrideH;
  return OutputTile(c, chunk, head, v, firstValue(c, head), oFirst, p.left + chunk * (CHUNK + p.kp) * 256u);
}

fn writeRow(tile: OutputTile, i: u32, products: vec4f) {
  if (!has(tile.c, i)) { return; }
  let at = u32(tile.oFirst + i32(i) * p.oStrideT) + tile.v;
  put4(p.o + at * 4u, 4u, finished(tile, i, products), min(4u, u32(p.dv) - tile.v));
}

fn writeOutputs(tile: OutputTile, t: u32) {
  if (tile.v >= u32(p.dv)) { return; }
  let i = t / 16u * 4u;
  @unroll for (var e = 0u; e < 4u; e++) {
    writeRow(tile, i + e, sums[e]);
    writeRow(tile, i + 32u + e, sums[e + 4u]);
  }
}
