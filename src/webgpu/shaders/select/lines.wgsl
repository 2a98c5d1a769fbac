// Lines of maps and of bits, [B, L, R].

struct Line {
  // batch * L + head
  list: i32,
  batch: i32,
  head: i32,
  row: i32,
}

fn lineOf(n: i32) -> Line {
  let list = n / p.rows;
  let batch = list / p.lists;
  return Line(list, batch, list - batch * p.lists, n - list * p.rows);
}
