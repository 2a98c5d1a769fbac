import { CodedRows, QuantizeParams } from '../../params';
import {
  codesAt,
  middleOf,
  outliersOffset,
  putCode,
  scaleOffset,
  scalesOffset,
  shiftOf,
  tokensOf,
  widenCodes,
} from './layout';

/** Scale and offset of a group, from its least and greatest number. */
@unmanaged
class Range {
  low: f32;
  high: f32;
}

// @ts-ignore: decorator
@inline
function openRange(r: Range): void {
  r.low = Infinity;
  r.high = -Infinity;
}

/** Widens the range to x; NaN makes it NaN for good. */
// @ts-ignore: decorator
@inline
function take(r: Range, x: f32): void {
  r.low = min<f32>(r.low, x);
  r.high = max<f32>(r.high, x);
}

/** Stores the scale (and offset) by which the codes of a group reach its least and greatest number. */
function closeRange(c: CodedRows, r: Range, at: usize): void {
  let scale: f32 = 0;
  let offset: f32 = 0;
  if (r.low <= r.high || r.low != r.low) {
    if (c.codebook) {
      offset = (r.low + r.high) * 0.5;
      scale = (r.high - r.low) * 0.5;
    } else if (c.offset) {
      offset = r.low;
      scale = (r.high - r.low) / <f32>((1 << c.bits) - 1);
    } else {
      scale = max<f32>(-r.low, r.high) / <f32>((1 << (c.bits - 1)) - 1);
    }
  }
  store<f32>(c.scale + at, scale);
  if (c.offset) store<f32>(c.offset + at, offset);
}

/** 1 / scale, or 0 where that is no number to multiply by: all codes of the group then stand for its offset. */
// @ts-ignore: decorator
@inline
function inverseOf(scale: f32): f32 {
  const inverse: f32 = scale > 0 ? 1 / scale : 0;
  return inverse < Infinity ? inverse : 0;
}

/** The whole number that stands for `level` multiples of the scale. */
// @ts-ignore: decorator
@inline
function wholeCode(level: f32, middle: i32, top: f32): i32 {
  const code = min<f32>(top, max<f32>(0, nearest<f32>(level + <f32>middle)));
  return code == code ? <i32>code : middle;
}

/** The place in the codebook that is nearest to `level`. */
function nearestLevel(c: CodedRows, level: f32): i32 {
  let best = 0;
  let error: f32 = Infinity;
  for (let code = 0; code < 1 << c.bits; ++code) {
    const distance = abs<f32>(level - load<f32>(c.codebook + ((<usize>code) << 2)));
    if (distance < error) {
      error = distance;
      best = code;
    }
  }
  return best;
}

// @ts-ignore: decorator
@inline
function rowOf(p: QuantizeParams, batch: i32, t: i32, h: i32): usize {
  return p.x + ((<usize>(batch * p.xStrideB + (t - p.first) * p.xStrideT + h * p.xStrideH)) << 2);
}

/** Whether slots [0, count) hold the channel. */
function isOutlier(c: CodedRows, outliers: usize, count: i32, channel: i32): bool {
  for (let slot = 0; slot < count; ++slot) {
    if (load<i32>(c.outlierIndex + outliers + ((<usize>slot) << 2)) == channel) return true;
  }
  return false;
}

/** Writes the channels whose numbers are farthest from what `reference` says into the slots: each row's own mean, or its coded row. */
function findOutliers(c: CodedRows, x: usize, reference: usize, mean: f32, outliers: usize): void {
  for (let slot = 0; slot < c.slots; ++slot) {
    let best = -1;
    let farthest: f32 = -1;
    for (let channel = 0; channel < c.d; ++channel) {
      const at = (<usize>channel) << 2;
      const distance = abs<f32>(load<f32>(x + at) - (reference ? load<f32>(reference + at) : mean));
      if ((distance > farthest || best < 0) && !isOutlier(c, outliers, slot, channel)) {
        farthest = distance;
        best = channel;
      }
    }
    store<i32>(c.outlierIndex + outliers + ((<usize>slot) << 2), best);
  }
}

function meanOf(x: usize, d: i32): f32 {
  let sum: f32 = 0;
  for (let channel = 0; channel < d; ++channel) sum += load<f32>(x + ((<usize>channel) << 2));
  return sum / <f32>d;
}

/** Scales of the groups of channels of a row, its outliers left out. */
function rangeTokens(c: CodedRows, x: usize, scales: usize, r: i32, outliers: usize, range: Range): void {
  if (c.slots) findOutliers(c, x, 0, meanOf(x, c.d), outliers);
  for (let group = 0, channel = 0; channel < c.d; ++group) {
    openRange(range);
    for (const end = min(c.d - channel, c.group) + channel; channel < end; ++channel) {
      if (!c.slots || !isOutlier(c, outliers, c.slots, channel)) take(range, load<f32>(x + ((<usize>channel) << 2)));
    }
    closeRange(c, range, scales + scaleOffset(c, r, group));
  }
}

/** Codes of one row, by scales that are there. */
function codeRow(p: QuantizeParams, c: CodedRows, x: usize, batch: i32, t: i32, h: i32, row: usize): void {
  const block = t >> shiftOf(c.bits);
  const r = t & (tokensOf(c.bits) - 1);
  const codes = codesAt(c, batch, block, h);
  const scales = scalesOffset(c, batch, block, h);
  const middle = middleOf(c);
  const top = <f32>((1 << c.bits) - 1);
  const width = c.byChannel ? 1 : c.group;
  for (let group = 0, channel = 0; channel < c.d; ++group) {
    const at = scales + (c.byChannel ? (<usize>group) << 2 : scaleOffset(c, r, group));
    const inverse = inverseOf(load<f32>(c.scale + at));
    const offset: f32 = c.offset ? load<f32>(c.offset + at) : 0;
    for (const end = min(c.d - channel, width) + channel; channel < end; ++channel) {
      const level = (load<f32>(x + ((<usize>channel) << 2)) - offset) * inverse;
      putCode(c, codes, r, channel, c.codebook ? nearestLevel(c, level) : wholeCode(level, middle, top));
    }
  }
  if (!c.slots) return;
  const outliers = outliersOffset(c, batch, block, h, r);
  for (let slot: usize = 0; slot < (<usize>c.slots) << 2; slot += 4) store<f32>(c.outlierValue + outliers + slot, 0);
  if (p.given)
    for (let slot: usize = 0; slot < (<usize>c.slots) << 2; slot += 4) store<i32>(c.outlierIndex + outliers + slot, 0);
  widenCodes(c, batch, block, h, r, row);
  if (p.given) findOutliers(c, x, row, 0, outliers);
  for (let slot: usize = 0; slot < (<usize>c.slots) << 2; slot += 4) {
    const at = (<usize>load<i32>(c.outlierIndex + outliers + slot)) << 2;
    store<f32>(c.outlierValue + outliers + slot, load<f32>(x + at) - load<f32>(row + at));
  }
}

/**
 * Rows of floats to codes, see layout.ts.
 *
 *   x     f32 [B, count, H, d]   any strides, last axis contiguous
 *   rows  CodedRows; the codes of tokens [first, first + count), their scales, offsets and outliers are written
 *
 * A group's scale is (max - min) / (2^bits - 1) and its offset min; without offset the scale is max |x| / (2^(bits - 1) - 1); with a
 * codebook they are half of max - min and of max + min. With `given` they are there. Outliers, the `slots` numbers of a row that are farthest
 * from its mean (with `given` from their codes), take no part in that, and keep what their codes miss.
 *
 * Item: one (batch, span of tokens, head); scales of a group of tokens are of those in x. Scratch: f32 [d + 4].
 */
export function quantizeRows(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<QuantizeParams>(params);
  const c = changetype<CodedRows>(p.rows);
  const tokens = tokensOf(c.bits);
  const range = changetype<Range>(scratch);
  const row = scratch + 16;
  const spans = (p.first + p.count + p.span - 1) / p.span - p.first / p.span;
  for (let item = begin; item < end; ++item) {
    const h = item % p.heads;
    const span = p.first / p.span + ((item / p.heads) % spans);
    const batch = item / (p.heads * spans);
    const low = max(span * p.span, p.first);
    const high = min((span + 1) * p.span, p.first + p.count);
    if (c.byChannel && !p.given) {
      const scales = scalesOffset(c, batch, low / tokens, h);
      for (let channel = 0; channel < c.d; ++channel) {
        openRange(range);
        for (let t = low; t < high; ++t) take(range, load<f32>(rowOf(p, batch, t, h) + ((<usize>channel) << 2)));
        closeRange(c, range, scales + ((<usize>channel) << 2));
      }
    }
    for (let t = low; t < high; ++t) {
      const x = rowOf(p, batch, t, h);
      if (!c.byChannel && !p.given) {
        const block = t / tokens;
        const r = t - block * tokens;
        const outliers = c.slots ? outliersOffset(c, batch, block, h, r) : 0;
        rangeTokens(c, x, scalesOffset(c, batch, block, h), r, outliers, range);
      }
      codeRow(p, c, x, batch, t, h, row);
    }
  }
}

/**
 * Rows of codes to floats: x as quantizeRows reads it, written. Item: one (batch, token), all heads.
 */
export function dequantizeRows(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<QuantizeParams>(params);
  const c = changetype<CodedRows>(p.rows);
  const tokens = tokensOf(c.bits);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.count;
    const t = p.first + (item - batch * p.count);
    for (let h = 0; h < p.heads; ++h) widenCodes(c, batch, t / tokens, h, t % tokens, rowOf(p, batch, t, h));
  }
}
