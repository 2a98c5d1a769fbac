import { HammingParams } from '../params';
import { mapRow, visibleColumns } from './visible';

/**
 * How many bits of signatures agree, less how many do not.
 *
 *   q    i32 [B, L, Tq]              any strides
 *   k    i32 [B, L / group, Tk]      last axis contiguous
 *   map  f32 [B, L, Tq, Tk]          columns contiguous; what a row does not see is left as it is
 *
 *   map_ij = bits - 2 popcnt(q_i xor k_j); bits that no signature has are 0 in both. HashAttention (Desai 2024). Item: one row.
 */
export function hammingScores(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<HammingParams>(params);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    const q = load<i32>(p.q + ((<usize>(batch * p.qStrideB + h * p.qStrideH + i * p.qStrideT)) << 2));
    let k = p.k + ((<usize>(batch * p.kStrideB + (h / p.group) * p.kStrideH)) << 2);
    let row = mapRow(p, list, i);
    const n = visibleColumns(p, i);
    const query = i32x4.splat(q);
    const bits = i32x4.splat(p.bits);
    for (let left = n >> 2; left > 0; --left) {
      const differing = i8x16.popcnt(v128.xor(v128.load(k), query));
      const count = i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(differing));
      v128.store(row, f32x4.convert_i32x4_s(i32x4.sub(bits, i32x4.shl(count, 1))));
      k += 16;
      row += 16;
    }
    for (let left = n & 3; left > 0; --left) {
      store<f32>(row, <f32>(p.bits - 2 * <i32>popcnt<u32>(<u32>(load<i32>(k) ^ q))));
      k += 4;
      row += 4;
    }
  }
}
