import { JoinSegmentParams } from '../params';
import { fma } from '../simd/fma';

/**
 * The state after a segment of tokens: S = diag(decay) S + update.
 *
 *   state   f32 [rows, V]   contiguous
 *   decay   f32 [rows]
 *   update  f32 [rows, V]   contiguous; must not alias state
 *
 * Stage B of the chunk form (Yang 2023). Item: one row.
 */
export function joinSegment(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<JoinSegmentParams>(params);
  for (let row = begin; row < end; ++row) {
    const factor = load<f32>(p.decay + ((<usize>row) << 2));
    const factors = f32x4.splat(factor);
    const at = (<usize>row * <usize>p.dv) << 2;
    let i = at;
    for (const whole = at + ((<usize>(p.dv & ~3)) << 2); i < whole; i += 16) {
      v128.store(p.state + i, fma(factors, v128.load(p.state + i), v128.load(p.update + i)));
    }
    for (const all = at + ((<usize>p.dv) << 2); i < all; i += 4) {
      store<f32>(p.state + i, factor * load<f32>(p.state + i) + load<f32>(p.update + i));
    }
  }
}
