import { MapParams } from '../params';

/** Columns that row i of a map sees: the first so many. */
export function visibleColumns(p: MapParams, i: i32): i32 {
  const x = <i64>i * <i64>p.visibleMul + <i64>p.visibleAdd;
  return x <= 0 ? 0 : <i32>min<i64>(x / <i64>p.visibleDiv, <i64>p.columns);
}

/** Row `i` of list `list` (batch * lists + head) of a map. */
export function mapRow(p: MapParams, list: i32, i: i32): usize {
  const batch = list / p.lists;
  const head = list - batch * p.lists;
  return p.map + ((<usize>(batch * p.mapStrideB + head * p.mapStrideH + i * p.mapStrideR)) << 2);
}
