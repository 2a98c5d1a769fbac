import { MR, NR, panel } from '../../gemm/panel';
import { atMemoryEnd } from '../memory-end';

const DEPTHS: StaticArray<i32> = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 65];
const MOST: i32 = 65;
const b = heap.alloc(<usize>(MOST * NR) * 4);
const c = heap.alloc(<usize>(MR * 16) * 4);

function at(row: usize, i: i32): usize {
  return row + ((<usize>i) << 2);
}

/** Whole numbers, whose sums are exact in whatever order and however rounded. */
function whole(i: i32): f32 {
  return <f32>(((i * 37) % 19) - 9);
}

/** Runs one panel whose A ends where the memory ends; counts wrong elements, those beside C's columns included. */
function mismatches(k: i32, aGap: i32, cGap: i32, accumulate: i32): i32 {
  const aStride = k + aGap;
  const cStride = NR + cGap;
  const a = atMemoryEnd(<usize>((MR - 1) * aStride + k) * 4);
  for (let i = 0; i < (MR - 1) * aStride + k; ++i) store<f32>(at(a, i), NaN);
  for (let r = 0; r < MR; ++r) for (let i = 0; i < k; ++i) store<f32>(at(a, r * aStride + i), whole(r * 131 + i));
  for (let i = 0; i < k * NR; ++i) store<f32>(at(b, i), whole(i * 3 + 1));
  for (let i = 0; i < MR * cStride; ++i) {
    store<f32>(at(c, i), i % cStride < NR ? (accumulate ? whole(i) : NaN) : <f32>1234);
  }
  panel(a, (<usize>aStride) << 2, b, c, (<usize>cStride) << 2, k, accumulate);
  let wrong = 0;
  for (let r = 0; r < MR; ++r) {
    for (let j = 0; j < cStride; ++j) {
      let sum: f32 = 1234;
      if (j < NR) {
        sum = accumulate ? whole(r * cStride + j) : 0;
        for (let i = 0; i < k; ++i) sum += whole(r * 131 + i) * whole((i * NR + j) * 3 + 1);
      }
      if (load<f32>(at(c, r * cStride + j)) != sum) wrong += 1;
    }
  }
  return wrong;
}

describe('panel', () => {
  it('multiplies exactly for every depth, stride, with and without accumulation', () => {
    for (let d = 0; d < DEPTHS.length; ++d) {
      for (let gap = 0; gap < 4; ++gap) {
        const k = DEPTHS[d];
        for (let accumulate = 0; accumulate < 2; ++accumulate) {
          expect<i32>(mismatches(k, gap & 1 ? 3 : 0, gap & 2 ? 5 : 0, accumulate)).toBe(
            0,
            `k ${k}, gap ${gap}, accumulate ${accumulate}`,
          );
        }
      }
    }
  });

  it('rounds as a sum of products does', () => {
    const k = MOST;
    const a = atMemoryEnd(<usize>(MR * k) * 4);
    for (let i = 0; i < MR * k; ++i) store<f32>(at(a, i), <f32>NativeMath.sin(<f64>i));
    for (let i = 0; i < k * NR; ++i) store<f32>(at(b, i), <f32>NativeMath.cos(<f64>(i * i)));
    panel(a, (<usize>k) << 2, b, c, 32, k, 0);
    let worst: f64 = 0;
    for (let r = 0; r < MR; ++r) {
      for (let j = 0; j < NR; ++j) {
        let sum: f64 = 0;
        let size: f64 = 0;
        for (let i = 0; i < k; ++i) {
          const product = <f64>load<f32>(at(a, r * k + i)) * <f64>load<f32>(at(b, i * NR + j));
          sum += product;
          size += NativeMath.abs(product);
        }
        // Higham, Accuracy and Stability, 3.5: k roundings of half a unit each
        worst = max(worst, NativeMath.abs(<f64>load<f32>(at(c, r * NR + j)) - sum) / (size * k * 5.960464477539063e-8));
      }
    }
    expect<f64>(worst).toBeLessThanOrEqual(1);
  });

  it('takes every element of A into its own row only, and of B into its own column only', () => {
    const k = 7;
    for (let step = 0; step < k; ++step) {
      for (let r = 0; r < MR; ++r) {
        const a = atMemoryEnd(<usize>(MR * k) * 4);
        for (let i = 0; i < MR * k; ++i) store<f32>(at(a, i), 1);
        for (let i = 0; i < k * NR; ++i) store<f32>(at(b, i), 1);
        store<f32>(at(a, r * k + step), NaN);
        store<f32>(at(b, step * NR + r), Infinity);
        panel(a, k << 2, b, c, 32, k, 0);
        let wrong = 0;
        for (let i = 0; i < MR; ++i) {
          for (let j = 0; j < NR; ++j) {
            const x = load<f32>(at(c, i * NR + j));
            if (i == r ? !isNaN(x) : x != (j == r ? <f32>Infinity : <f32>k)) wrong += 1;
          }
        }
        expect<i32>(wrong).toBe(0, `step ${step}, row ${r}`);
      }
    }
  });
});
