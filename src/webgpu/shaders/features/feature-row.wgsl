// Rows of FeatureParams, numbered along [B, T, H].

// Address of row `row` of x, whose rows lie anywhere, and of o.
fn inputRow(row: u32) -> u32 {
  let position = row / u32(p.heads);
  let batch = position / u32(p.length);
  let time = i32(position - batch * u32(p.length));
  let head = i32(row - position * u32(p.heads));
  return p.x + u32(i32(batch) * p.xStrideB + time * p.xStrideT + head * p.xStrideH) * 4u;
}

fn featureRow(row: u32) -> u32 { return p.o + row * u32(p.features) * 4u; }
