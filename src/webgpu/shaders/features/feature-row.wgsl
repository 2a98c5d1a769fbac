// Rows of FeatureParams, numbered along [B, T, H].

// Elements before row `row` of a tensor whose rows lie anywhere.
fn rowOffset(row: u32, strideB: i32, strideT: i32, strideH: i32) -> u32 {
  let position = row / u32(p.heads);
  let batch = position / u32(p.length);
  let time = i32(position - batch * u32(p.length));
  let head = i32(row - position * u32(p.heads));
  return u32(i32(batch) * strideB + time * strideT + head * strideH);
}

// Addresses of row `row` of x and of o.
fn inputRow(row: u32) -> u32 { return p.x + rowOffset(row, p.xStrideB, p.xStrideT, p.xStrideH) * 4u; }
fn featureRow(row: u32) -> u32 { return p.o + row * u32(p.features) * 4u; }
