import { DiagonalSumsParams } from '../params';
import { mapRow, visibleColumns } from './visible';

/**
 * Sums of a map along its diagonals: o_d = sum of map_ij over i + offset - j = d, of what the rows see.
 *
 *   map  f32 [B, L, N, M]   columns contiguous; what a row does not see is not read
 *   o    f32 [B, L, count]  contiguous; diagonals outside [0, count) are left out
 *
 * MInference's slashes (Jiang 2024). Item: one list.
 */
export function diagonalSums(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<DiagonalSumsParams>(params);
  for (let item = begin; item < end; ++item) {
    const o = p.o + ((<usize>(item * p.count)) << 2);
    memory.fill(o, 0, (<usize>p.count) << 2);
    for (let i = 0; i < p.rows; ++i) {
      // diagonals fall as columns rise
      const center = i + p.offset;
      const from = max(0, center - p.count + 1);
      const to = min(visibleColumns(p, i), center + 1);
      let x = mapRow(p, item, i) + ((<usize>from) << 2);
      let out = o + ((<usize>(center - from)) << 2);
      let left = to - from;
      for (; left >= 4; left -= 4) {
        const v = v128.load(x);
        const at = out - 12;
        v128.store(at, f32x4.add(v128.load(at), i32x4.shuffle(v, v, 3, 2, 1, 0)));
        x += 16;
        out -= 16;
      }
      for (; left > 0; --left) {
        store<f32>(out, load<f32>(out) + load<f32>(x));
        x += 4;
        out -= 4;
      }
    }
  }
}
