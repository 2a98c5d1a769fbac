// GatherHeadsParams's lists, for list-order.

fn labelCount() -> u32 { return u32(p.length); }
fn tokenCount() -> u32 { return u32(p.n); }
fn labelsOf(item: u32) -> u32 {
  let batch = i32(item) / p.lists;
  let list = i32(item) - batch * p.lists;
  return p.order + u32(batch * p.orderStrideB + list * p.orderStrideH) * 4u;
}
