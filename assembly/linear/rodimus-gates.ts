import { featureRow, inputRow, storeLanes } from '../features/row';
import { RodimusParams } from '../params';
import { ONE } from '../simd/constants';
import { exp4 } from '../simd/exp';
import { log4 } from '../simd/log4';

/** Where row (batch, t, head) of a gate lies. */
// @ts-ignore: decorator
@inline
function gateRow(at: usize, strideB: i32, strideT: i32, strideH: i32, batch: i32, t: i32, head: i32): usize {
  return at + ((<usize>(batch * strideB + t * strideT + head * strideH)) << 2);
}

/**
 * Keys and log decays of one gate and its temperature: o = k g^tau, decay = -g tau; g^0 is 1.
 *
 *   x (k)      f32 [B, T, H, d]  any strides, last axis contiguous
 *   gate, tau  f32 [B, T, H, d]  likewise; gate at least 0
 *   o, decay   f32 [B, T, H, d]  contiguous; o may be x
 *
 * Rodimus (He 2024). Item: one row.
 */
export function rodimusGates(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<RodimusParams>(params);
  const zero = i32x4.splat(0);
  const one = v128.load(ONE);
  for (let item = begin; item < end; ++item) {
    const position = item / p.heads;
    const head = item - position * p.heads;
    const batch = position / p.length;
    const t = position - batch * p.length;
    const x = inputRow(p, item);
    const gate = gateRow(p.gate, p.gateStrideB, p.gateStrideT, p.gateStrideH, batch, t, head);
    const tau = gateRow(p.tau, p.tauStrideB, p.tauStrideT, p.tauStrideH, batch, t, head);
    const o = featureRow(p, item);
    const decay = p.decay + (o - p.o);
    for (let i = 0; i < p.d; i += 4) {
      const at = (<usize>i) << 2;
      const g = v128.load(gate + at);
      const temper = v128.load(tau + at);
      const power = exp4(f32x4.mul(temper, log4(g)));
      const key = f32x4.mul(v128.load(x + at), v128.bitselect(one, power, f32x4.eq(temper, zero)));
      const log = f32x4.neg(f32x4.mul(g, temper));
      if (i + 4 <= p.d) {
        v128.store(o + at, key);
        v128.store(decay + at, log);
      } else {
        storeLanes(o + at, key, p.d - i);
        storeLanes(decay + at, log, p.d - i);
      }
    }
  }
}
