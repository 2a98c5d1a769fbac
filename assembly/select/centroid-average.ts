import { CentroidAverageParams } from '../params';

/**
 * Centroids moved towards their members: decay c + (1 - decay) s / |s|, s the sum of the members in all of the batch; those without
 * members stay.
 *
 *   centroids  f32 [H, C, d]      contiguous
 *   sums       f32 [B, C, H, d]   contiguous: sums of rows of each centroid
 *   o          f32 [H, C, d]      contiguous
 *
 * Routing Transformer (Roy 2021). Item: one centroid.
 */
export function centroidAverage(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<CentroidAverageParams>(params);
  const step = (<usize>(p.count * p.heads * p.d)) << 2;
  for (let item = begin; item < end; ++item) {
    const h = item / p.count;
    const c = item - h * p.count;
    const sums = p.sums + ((<usize>((c * p.heads + h) * p.d)) << 2);
    const centroid = p.centroids + ((<usize>(item * p.d)) << 2);
    const o = p.o + ((<usize>(item * p.d)) << 2);
    let square: f64 = 0;
    for (let i: usize = 0; i < (<usize>p.d) << 2; i += 4) {
      let sum: f32 = 0;
      for (let batch: usize = 0; batch < <usize>p.batch; ++batch) sum += load<f32>(sums + batch * step + i);
      store<f32>(o + i, sum);
      square += <f64>sum * <f64>sum;
    }
    const gain: f32 = square == 0 ? 0 : <f32>((1 - <f64>p.decay) / sqrt<f64>(square));
    const kept: f32 = square == 0 ? 1 : p.decay;
    for (let i: usize = 0; i < (<usize>p.d) << 2; i += 4) {
      store<f32>(o + i, load<f32>(centroid + i) * kept + load<f32>(o + i) * gain);
    }
  }
}
