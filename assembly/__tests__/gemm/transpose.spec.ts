import { transposePanel } from '../../gemm/transpose';
import { atMemoryEnd } from '../memory-end';

const MOST: i32 = 65;
const panel = heap.alloc(<usize>(MOST * 8 + 1) * 4);

/** Transposes eight rows that end where the memory ends; counts wrong elements, one past the panel included. */
function mismatches(d: i32, gap: i32): i32 {
  const stride = d + gap;
  const size = <usize>(7 * stride + d) * 4;
  const rows = atMemoryEnd(size);
  for (let r = 0; r < 8; ++r) {
    // bits, not values: a signalling NaN must come through too
    for (let i = 0; i < d; ++i) store<u32>(rows + ((<usize>(r * stride + i)) << 2), 0x7f800001 + r * 1000 + i);
  }
  memory.fill(panel, 0xaa, <usize>(d * 8 + 1) * 4);
  transposePanel(rows, (<usize>stride) << 2, panel, d);
  let wrong = 0;
  for (let i = 0; i < d; ++i) {
    for (let r = 0; r < 8; ++r) {
      if (load<u32>(panel + ((<usize>(i * 8 + r)) << 2)) != <u32>(0x7f800001 + r * 1000 + i)) wrong += 1;
    }
  }
  if (load<u32>(panel + ((<usize>(d * 8)) << 2)) != 0xaaaaaaaa) wrong += 1;
  return wrong;
}

describe('transposePanel', () => {
  it('transposes rows of 0 to 17 and of 63 to 65 elements, dense or apart, bit by bit', () => {
    for (let d = 0; d <= MOST; d = d == 17 ? 63 : d + 1) {
      expect<i32>(mismatches(d, 0)).toBe(0, `d ${d}`);
      expect<i32>(mismatches(d, 5)).toBe(0, `d ${d}, rows apart`);
    }
  });
});
