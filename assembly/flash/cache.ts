import { CacheParams, Sequence } from '../params';
import { elementBytes, widenRow } from '../simd/storage';

/** Keys from j on that lie one stride apart, at most n: to the end of j's page. */
// @ts-ignore: decorator
@inline
export function runLength(p: CacheParams, j: i32, n: i32): i32 {
  return p.pageTable ? min(n, p.pageSize - (j % p.pageSize)) : n;
}

/** Element offset of key j by strides of batch (or page), time and head. */
// @ts-ignore: decorator
@inline
export function keyOffset(
  p: CacheParams,
  s: Sequence,
  j: i32,
  h: i32,
  strideB: i32,
  strideT: i32,
  strideH: i32,
): usize {
  if (p.pageTable) {
    const page = load<i32>(p.pageTable + ((<usize>(s.batch * p.pagesPerSequence + j / p.pageSize)) << 2));
    return <usize>page * <usize>strideB + <usize>((j % p.pageSize) * strideT + h * strideH);
  }
  return <usize>s.batch * <usize>strideB + <usize>(s.kStart + j) * <usize>strideT + <usize>(h * strideH);
}

/** The scales of n keys from j on; up to three numbers more may be written. */
export function gatherScales(p: CacheParams, s: Sequence, scales: usize, j: i32, n: i32, h: i32, dst: usize): void {
  const stride = (<usize>p.scaleStrideT) << 2;
  for (const last = j + n; j < last;) {
    const run = runLength(p, j, last - j);
    let src = scales + (keyOffset(p, s, j, h, p.scaleStrideB, p.scaleStrideT, p.scaleStrideH) << 2);
    const end = dst + ((<usize>run) << 2);
    if (stride == 4) {
      // what is behind a tensor can be read
      for (let to = dst; to < end; to += 16) {
        v128.store(to, v128.load(src));
        src += 16;
      }
    } else {
      for (let to = dst; to < end; to += 4) {
        store<f32>(to, load<f32>(src));
        src += stride;
      }
    }
    dst = end;
    j += run;
  }
}

/** The last elements of key j, which all heads share, in f32 behind the others of a key of dk elements at `row`. */
export function widenRest(p: CacheParams, s: Sequence, j: i32, row: usize, dk: i32): void {
  const at = <usize>s.batch * <usize>p.kRestStrideB + <usize>(s.kStart + j) * <usize>p.kRestStrideT;
  const rest = p.kRest + at * elementBytes(p.kType);
  widenRow(rest, p.kType, row + ((<usize>(dk - p.kRestDim)) << 2), p.kRestDim, 1);
}
