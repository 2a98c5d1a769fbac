//! use row4
// Values of the tokens of a chunk.

// Elements before the row of the chunk's first token.
fn firstValue(c: Chunk, head: u32) -> i32 { return c.batch * p.vStrideB + c.start * p.vStrideT + i32(head) * p.vStrideH; }

// Four columns of row j, zeros where it is no token.
fn valueRow(c: Chunk, first: i32, j: u32, v: u32) -> vec4f {
  var x = vec4f();
  if (has(c, j)) { x = row4(p.vType, p.v, first + i32(j) * p.vStrideT, v, u32(p.dv)); }
  return x;
}
