import { hideForced } from './listed';
import { Int4KeyParams, Int4ScoreParams } from '../params';
import { sum4 } from '../simd/reduce';
import { fma } from '../simd/fma';
import { elementBytes, widenRow } from '../simd/storage';

/** The largest code. */
const MOST: f32 = 15;

/**
 * Keys in four bits, each between the least and the largest of its elements.
 *
 *   k      f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
 *   codes  u8 [B, T, H, width]             any strides, last axis contiguous: byte c has channel c below and channel c + width above
 *   range  f32 [B, T, H, 2]                any strides, last axis contiguous: step and least
 *
 *   k_c = least + step code_c, |error| at most step / 2. Item: one (batch, token). Scratch: f32 [2 width].
 */
export function int4Keys(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<Int4KeyParams>(params);
  const bytes = elementBytes(p.kType);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const at = <usize>batch * <usize>p.kStrideB + <usize>t * <usize>p.kStrideT + <usize>h * <usize>p.kStrideH;
      widenRow(p.k + at * bytes, p.kType, scratch, p.d, 1);
      let least: f32 = Infinity;
      let most: f32 = -Infinity;
      for (let c: usize = 0; c < (<usize>p.d) << 2; c += 4) {
        least = min<f32>(least, load<f32>(scratch + c));
        most = max<f32>(most, load<f32>(scratch + c));
      }
      const step = (most - least) / MOST;
      const factor: f32 = step > 0 ? 1 / step : 0;
      const codes =
        p.codes +
        <usize>batch * <usize>p.codesStrideB +
        <usize>t * <usize>p.codesStrideT +
        <usize>h * <usize>p.codesStrideH;
      for (let c = 0; c < p.width; ++c) {
        let byte = 0;
        for (let half = 0; half < 2; ++half) {
          const channel = c + half * p.width;
          if (channel >= p.d) continue;
          const code = nearest<f32>((load<f32>(scratch + ((<usize>channel) << 2)) - least) * factor);
          byte |= (<i32>max<f32>(0, min<f32>(MOST, code))) << (half << 2);
        }
        store<u8>(codes + <usize>c, <u8>byte);
      }
      const range =
        <usize>batch * <usize>p.rangeStrideB + <usize>t * <usize>p.rangeStrideT + <usize>h * <usize>p.rangeStrideH;
      store<f32>(p.range + (range << 2), step);
      store<f32>(p.range + (range << 2), least, 4);
    }
  }
}

/**
 * Scores of the keys of lists by their codes.
 *
 *   q        f32, f16 or bf16 [B, Tq, L, d]      any strides, last axis contiguous
 *   codes, range                                 as int4Keys writes them, H = L / group
 *   indices  i32 [B, L, Tq, entries], counts i32 [B, L, Tq]   contiguous; entries from 0 to Tk - 1
 *   o        f32 [B, L, Tq, entries]             contiguous; -Infinity behind the last entry
 *
 *   o = scale (least sum q_c + step sum q_c code_c). Item: one row. Scratch: f32 [2 width].
 */
export function int4Scores(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<Int4ScoreParams>(params);
  const halfBytes = (<usize>p.width) << 2;
  const above = scratch + halfBytes;
  const mask = i16x8.splat(15);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const h = list - batch * p.lists;
    memory.fill(scratch, 0, halfBytes << 1);
    const qAt = batch * p.qStrideB + i * p.qStrideT + h * p.qStrideH;
    widenRow(p.q + <usize>qAt * elementBytes(p.qType), p.qType, scratch, p.d, p.scale);
    let all: f32 = 0;
    for (let c: usize = 0; c < halfBytes << 1; c += 4) all += load<f32>(scratch + c);
    const count = min(p.entries, load<i32>(p.counts + ((<usize>item) << 2)));
    const o = p.o + ((<usize>(item * p.entries)) << 2);
    const indices = p.indices + ((<usize>(item * p.entries)) << 2);
    const head = h / p.group;
    for (let n = 0; n < count; ++n) {
      const j = <usize>max(0, min(p.columns - 1, load<i32>(indices + ((<usize>n) << 2))));
      const codes =
        p.codes +
        <usize>batch * <usize>p.codesStrideB +
        j * <usize>p.codesStrideT +
        <usize>head * <usize>p.codesStrideH;
      let s0 = i32x4.splat(0);
      let s1 = s0;
      let s2 = s0;
      let s3 = s0;
      for (let c: usize = 0; c < <usize>p.width; c += 8) {
        const both = v128.load8x8_u(codes + c);
        const low = v128.and(both, mask);
        const high = i16x8.shr_u(both, 4);
        const q = scratch + (c << 2);
        const r = above + (c << 2);
        s0 = fma(v128.load(q), f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(low)), s0);
        s1 = fma(v128.load(q, 16), f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(low)), s1);
        s2 = fma(v128.load(r), f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(high)), s2);
        s3 = fma(v128.load(r, 16), f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(high)), s3);
      }
      const range =
        p.range +
        ((<usize>batch * <usize>p.rangeStrideB + j * <usize>p.rangeStrideT + <usize>head * <usize>p.rangeStrideH) << 2);
      const products = sum4(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
      store<f32>(o + ((<usize>n) << 2), load<f32>(range, 4) * all + load<f32>(range) * products);
    }
    for (let n = count; n < p.entries; ++n) store<f32>(o + ((<usize>n) << 2), -Infinity);
    hideForced(indices, o, count, p.first, p.columns - p.rows + i + 1 - p.last);
  }
}
