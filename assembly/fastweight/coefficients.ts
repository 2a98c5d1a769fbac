import { STATE_FLUSH } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { FastWeightParams } from '../params';
import { FastWork } from './workspace';

/** Learning rate of the query that it is of. */
export const QUERY_RATE: i32 = 0;
/** Learning rate of the key, times a factor of the query's place. */
export const KEY_RATE: i32 = 1;
/** Momentum, learning rate and decay of every token. */
export const MOMENTUM: i32 = 2;
/** Queries read weights that stay as they are. */
export const READ_ONLY: i32 = 3;

/** Element of a tensor [B, T, H] at a token of the item. */
// @ts-ignore: decorator
@inline
function gateAt(base: usize, strideB: i32, strideT: i32, strideH: i32, w: FastWork, token: i32): f32 {
  const element =
    <usize>w.batch * <usize>strideB + <usize>(w.start + token) * <usize>strideT + <usize>w.head * <usize>strideH;
  return load<f32>(base + (element << 2));
}

/** row[0..n) = factor row, n rounded up to whole vectors; what has become too small is zero. */
// @ts-ignore: decorator
@inline
function fadeRow(row: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  const flush = v128.load(STATE_FLUSH);
  for (let i: usize = 0; i < (<usize>n) << 2; i += 16) {
    v128.store(row + i, flushedBelow(f32x4.mul(v128.load(row + i), f), flush));
  }
}

// @ts-ignore: decorator
@inline
function flushed(x: f32): f32 {
  return abs(x) < load<f32>(STATE_FLUSH) ? 0 : x;
}

/** What queries of a part read: base + secondOf second - sum of rates over keys; keys of `count` tokens from place `position`. */
function readRates(p: FastWeightParams, w: FastWork, token: i32, count: i32): void {
  for (let i = 0; i < count; ++i) {
    const at = (<usize>i) << 2;
    const rate = gateAt(p.eta, p.etaStrideB, p.etaStrideT, p.etaStrideH, w, token + i);
    store<f32>(w.rates + at, rate);
    const place: f32 = p.rule == KEY_RATE ? load<f32>(p.tokenIdx + ((<usize>(w.position + i)) << 2)) : rate;
    store<f32>(w.secondOf + at, -place);
    store<f32>(w.endSecond + at, p.rule == KEY_RATE ? rate : 1);
  }
  for (let i = 0; i < count; ++i) {
    const row = w.coefficients + <usize>i * w.scoreBytes;
    const place = load<f32>(w.secondOf + ((<usize>i) << 2));
    for (let j: usize = 0; j <= (<usize>i) << 2; j += 4) store<f32>(row + j, place * load<f32>(w.endSecond + j));
  }
}

/**
 * S_i = eta_i S_{i-1} - 2 theta_i g_i, M_i = (1 - alpha_i) M_{i-1} + S_i, with S_i and M_i as sums of what was before the part and of
 * the gradients g_j: the factors of both follow the same recurrences.
 */
function readMomenta(p: FastWeightParams, w: FastWork, token: i32, count: i32): void {
  let keep: f32 = 1;
  let add: f32 = 0;
  let stay: f32 = 1;
  // whole vectors of the running rows are read before they are written
  memory.fill(w.endBase, 0, w.scoreBytes);
  memory.fill(w.endSecond, 0, w.scoreBytes);
  for (let i = 0; i < count; ++i) {
    const eta = gateAt(p.eta, p.etaStrideB, p.etaStrideT, p.etaStrideH, w, token + i);
    const theta = gateAt(p.theta, p.thetaStrideB, p.thetaStrideT, p.thetaStrideH, w, token + i);
    const rest: f32 = 1 - gateAt(p.alpha, p.alphaStrideB, p.alphaStrideT, p.alphaStrideH, w, token + i);
    fadeRow(w.endSecond, i, eta);
    store<f32>(w.endSecond + ((<usize>i) << 2), -2 * theta);
    fadeRow(w.endBase, i, rest);
    const row = w.coefficients + <usize>i * w.scoreBytes;
    for (let j: usize = 0; j <= (<usize>i) << 2; j += 16) {
      const sum = f32x4.add(v128.load(w.endBase + j), v128.load(w.endSecond + j));
      v128.store(w.endBase + j, sum);
      v128.store(row + j, sum);
    }
    stay = flushed(stay * eta);
    keep = flushed(keep * rest);
    add = flushed(add * rest) + stay;
    store<f32>(w.baseOf + ((<usize>i) << 2), keep);
    store<f32>(w.secondOf + ((<usize>i) << 2), add);
  }
  w.keep = keep;
  w.add = add;
  w.stay = stay;
}

/** Factors of a part of `count` tokens from `token` on. */
export function readCoefficients(p: FastWeightParams, w: FastWork, token: i32, count: i32): void {
  if (p.rule == MOMENTUM) readMomenta(p, w, token, count);
  else readRates(p, w, token, count);
}

/** Row i of the scores times its factors for the keys up to i, zero for those behind up to `width`. */
export function weighScores(w: FastWork, i: i32, width: i32): void {
  const scores = w.scores + <usize>i * w.scoreBytes;
  const factors = w.coefficients + <usize>i * w.scoreBytes;
  const seen = (<usize>(i + 1)) << 2;
  const whole = seen & ~15;
  for (let j: usize = 0; j < whole; j += 16) {
    v128.store(scores + j, f32x4.mul(v128.load(scores + j), v128.load(factors + j)));
  }
  for (let j = whole; j < seen; j += 4) store<f32>(scores + j, load<f32>(scores + j) * load<f32>(factors + j));
  for (let j = seen; j < (<usize>width) << 2; j += 4) store<f32>(scores + j, 0);
}
