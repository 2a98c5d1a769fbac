import { StabilizerParams, TimeStepParams } from '../params';
import { softplus4, logSigmoid4 } from '../simd/softplus';
import { sequenceAt } from '../flash/sequence';
import { decayOf } from './decay';

/**
 * The running maximum that keeps exponential input gates finite: m_t = max(f'_t + m_{t-1}, i_t), g_t = f'_t + m_{t-1} - m_t,
 * w_t = e^{i_t - m_t}, f' = ln sigmoid(f).
 *
 *   i, f, m, g, w  f32 [B, T, H]   contiguous
 *   mIn, mOut      f32 [N, H]      mIn may be absent (zeros) or mOut
 *
 * xLSTM (Beck 2024). Item: one (sequence, head).
 */
export function stabilize(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<StabilizerParams>(params);
  const step = (<usize>p.heads) << 2;
  for (let item = begin; item < end; ++item) {
    const n = item / p.heads;
    const head = item - n * p.heads;
    const sequence = sequenceAt(p.sequences, n);
    let at = <usize>(((sequence.batch * p.length + sequence.qStart) * p.heads + head) << 2);
    const state = (<usize>item) << 2;
    let m: f32 = p.mIn ? load<f32>(p.mIn + state) : 0;
    for (let t = sequence.qLength; t > 0; --t) {
      const forget = f32x4.extract_lane(logSigmoid4(v128.load32_splat(p.f + at)), 0) + m;
      const input = load<f32>(p.i + at);
      m = max<f32>(forget, input);
      store<f32>(p.g + at, forget - m);
      store<f32>(p.w + at, decayOf(input - m));
      store<f32>(p.m + at, m);
      at += step;
    }
    store<f32>(p.mOut + state, m);
  }
}

/**
 * Time steps and their decays: dt = dt + bias, its softplus if wanted, g = a dt.
 *
 *   x, o, g  f32 [rows, H]   contiguous; o is dt
 *   bias     f32 [H]         may be absent
 *   a        f32 [H]
 *
 * Mamba-2 (Dao and Gu 2024). Item: one row.
 */
export function timeStep(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<TimeStepParams>(params);
  for (let item = begin; item < end; ++item) {
    const row = (<usize>item * <usize>p.heads) << 2;
    for (let h: usize = 0; h < (<usize>p.heads) << 2; h += 4) {
      let dt = load<f32>(p.x + row + h);
      if (p.bias) dt += load<f32>(p.bias + h);
      if (p.softplus) dt = f32x4.extract_lane(softplus4(f32x4.splat(dt)), 0);
      store<f32>(p.o + row + h, dt);
      store<f32>(p.g + row + h, dt * load<f32>(p.a + h));
    }
  }
}
