// Blocks that are alike in themselves, of DissimilarParams.

// Whether block n of head h of likeness f32 [B, blocks, heads] is; NaN is not above anything.
fn isAlike(likeness: u32, blocks: i32, heads: i32, batch: i32, n: i32, h: i32, theta: f32) -> bool {
  let bits = loadU(likeness + u32((batch * blocks + n) * heads + h) * 4u);
  return (bits & 0x7fffffffu) <= 0x7f800000u && bitcast<f32>(bits) > theta;
}

fn isKeyAlike(batch: i32, h: i32, c: i32, theta: f32) -> bool {
  return isAlike(p.alikeK, p.columns, p.lists / p.group, batch, c, h / p.group, theta);
}
