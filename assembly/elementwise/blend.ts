import { BlendParams } from '../params';

/** o (+)= gate * x over n values: `gates` are n numbers, or one (`step` 0), or absent. */
function addRow(x: usize, gates: usize, step: usize, o: usize, n: i32, add: bool): void {
  let i: usize = 0;
  const one: v128 = gates ? v128.load_splat<f32>(gates) : f32x4.splat(1);
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const gate = step ? v128.load(gates + i) : one;
    const y = f32x4.mul(gate, v128.load(x + i));
    v128.store(o + i, add ? f32x4.add(v128.load(o + i), y) : y);
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const gate: f32 = gates ? load<f32>(gates + (step ? i : 0)) : 1;
    const y = gate * load<f32>(x + i);
    store<f32>(o + i, add ? load<f32>(o + i) + y : y);
  }
}

/**
 * Sums of branches by their gates: o = gate x, or o += gate x.
 *
 *   x     f32 [B, rows, H, d]       contiguous; o itself is allowed
 *   row   i32 [T]                   row of x that each token takes; absent: its own, rows = T
 *   gate  f32 [B, T, H, d or 1]     contiguous; absent: 1
 *   o     f32 [B, T, H, d]          contiguous
 *
 * Item: one token, all heads.
 */
export function blend(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<BlendParams>(params);
  const bytes = (<usize>p.d) << 2;
  const step: usize = p.wideGate ? bytes : 0;
  const gateBytes: usize = p.wideGate ? bytes : 4;
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    const row = p.row ? load<i32>(p.row + ((<usize>t) << 2)) : t;
    let x = p.x + <usize>((batch * p.rows + row) * p.heads) * bytes;
    let o = p.o + <usize>(item * p.heads) * bytes;
    let gate = p.gate ? p.gate + <usize>(item * p.heads) * gateBytes : 0;
    for (let h = 0; h < p.heads; ++h) {
      addRow(x, gate, step, o, p.d, p.add != 0);
      x += bytes;
      o += bytes;
      if (gate) gate += gateBytes;
    }
  }
}
