// SortLabelsParams's lists, for list-order.

fn labelCount() -> u32 { return u32(p.count); }
fn tokenCount() -> u32 { return u32(p.length); }
fn labelsOf(item: u32) -> u32 {
  let batch = i32(item) / p.lists;
  let list = i32(item) - batch * p.lists;
  return p.labels + u32(batch * p.labelsStrideB + list * p.labelsStrideH) * 4u;
}
