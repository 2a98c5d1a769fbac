import { BitWeightsParams } from '../params';

/**
 * Bits as numbers: 1 where a bit is `value`, else 0.
 *
 *   bits     i32 [rows, words]     contiguous
 *   weights  f32 [rows, columns]   contiguous
 *
 * Item: one row.
 */
export function bitWeights(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<BitWeightsParams>(params);
  for (let item = begin; item < end; ++item) {
    const bits = p.bits + ((<usize>(item * p.words)) << 2);
    const weights = p.weights + ((<usize>(item * p.columns)) << 2);
    for (let c = 0; c < p.columns; ++c) {
      const bit = (load<u32>(bits + ((<usize>(c >> 5)) << 2)) >> (c & 31)) & 1;
      store<f32>(weights + ((<usize>c) << 2), <i32>bit == p.value ? 1 : 0);
    }
  }
}
