// Rows of o of any length, anywhere.

fn storeRow(row: u32, column: u32, x: vec4f, keep: f32) {
  for (var e = 0u; e < 4u; e++) {
    if (column + e >= u32(p.dv)) { return; }
    let at = row + (column + e) * 4u;
    var y = x[e];
    if (keep != 0.0) { y = fma(keep, loadF(at), y); }
    storeF(at, y);
  }
}

fn storeScore(at: u32, x: f32, hidden: bool) { storeU(at, select(bitcast<u32>(x), NEGATIVE_INFINITY_BITS, hidden)); }
