import { RopeParams } from '../params';

/** Pairs (x[i], x[i + half]) by the angles of one position. */
export function rotateHalves(x: usize, o: usize, cos: usize, sin: usize, half: i32): void {
  const second = (<usize>half) << 2;
  let i: usize = 0;
  for (const whole = (<usize>(half & ~3)) << 2; i < whole; i += 16) {
    const c = v128.load(cos + i);
    const s = v128.load(sin + i);
    const a = v128.load(x + i);
    const b = v128.load(x + second + i);
    v128.store(o + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(o + second + i, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
  for (; i < second; i += 4) {
    const c = load<f32>(cos + i);
    const s = load<f32>(sin + i);
    const a = load<f32>(x + i);
    const b = load<f32>(x + second + i);
    store<f32>(o + i, a * c - b * s);
    store<f32>(o + second + i, b * c + a * s);
  }
}

/** Pairs (x[2i], x[2i + 1]) by the angles of one position. */
export function rotatePairs(x: usize, o: usize, cos: usize, sin: usize, half: i32): void {
  for (let i: usize = 0; i < (<usize>half) << 2; i += 4) {
    const c = load<f32>(cos + i);
    const s = load<f32>(sin + i);
    const a = load<f32>(x + (i << 1));
    const b = load<f32>(x + (i << 1), 4);
    store<f32>(o + (i << 1), a * c - b * s);
    store<f32>(o + (i << 1), b * c + a * s, 4);
  }
}

/**
 * Rotary position embedding of the first `rotated` elements of each head; the others are copied.
 *
 *   x         f32 [B, T, H, d]            any strides, last axis contiguous
 *   cos, sin  f32 [B|1, rows, rotated/2]  angle of each position and pair
 *   o         f32 [B, T, H, d]            may be x
 *
 * Su 2021. Item: one (batch, position), all heads.
 */
export function rope(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<RopeParams>(params);
  const half = p.rotated >> 1;
  const rest = (<usize>(p.d - p.rotated)) << 2;
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    const row = p.positions ? load<i32>(p.positions + ((<usize>(batch * p.positionsStrideB + t)) << 2)) : t;
    const angle = (<usize>(batch * p.angleStrideB + row * p.angleStrideT)) << 2;
    for (let h = 0; h < p.heads; ++h) {
      const x = p.x + ((<usize>(batch * p.xStrideB + t * p.xStrideT + h * p.xStrideH)) << 2);
      const o = p.o + ((<usize>(batch * p.oStrideB + t * p.oStrideT + h * p.oStrideH)) << 2);
      if (p.interleaved) rotatePairs(x, o, p.cos + angle, p.sin + angle, half);
      else rotateHalves(x, o, p.cos + angle, p.sin + angle, half);
      if (rest && x != o) memory.copy(o + ((<usize>p.rotated) << 2), x + ((<usize>p.rotated) << 2), rest);
    }
  }
}
