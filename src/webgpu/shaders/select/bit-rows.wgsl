//! use lines
// Rows of the bits a and b of BitsParams.

fn bitRow(x: u32, strideB: i32, strideH: i32, strideR: i32, item: i32) -> u32 {
  let at = lineOf(item);
  return x + u32(at.batch * strideB + at.head * strideH + at.row * strideR) * 4u;
}

fn aRow(item: i32) -> u32 { return bitRow(p.a, p.aStrideB, p.aStrideH, p.aStrideR, item); }
fn bRow(item: i32) -> u32 { return bitRow(p.b, p.bStrideB, p.bStrideH, p.bStrideR, item); }
