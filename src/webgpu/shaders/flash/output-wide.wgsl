// Rows of o that begin at multiples of 16 bytes and whose dv is a multiple of four.

fn storeRow(row: u32, column: u32, x: vec4f, keep: f32) {
  if (column >= u32(p.dv)) { return; }
  let at = row + column * 4u;
  var y = x;
  if (keep != 0.0) { y = fma(vec4f(keep), loadF4(at), x); }
  storeF4(at, y);
}

// lse is one word of a vector: whoever stores single words sees the memory as words.
fn storeScore(at: u32, x: f32, hidden: bool) {}
