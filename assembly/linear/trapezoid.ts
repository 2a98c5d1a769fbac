import { rotatePairs } from '../elementwise/rope';
import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { TrapezoidParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { tanh2, turn2 } from '../simd/turn';

/** Scratch of one thread for R angles. */
@unmanaged
class Angles {
  /** f64 [R2] in turns, R2 = R rounded up to 2 */
  turns: usize;
  /** f32 [R2] */
  cos: usize;
  sin: usize;
  end: usize;
}

const ANGLES_BYTES: usize = (offsetof<Angles>() + 15) & ~15;

function carveAngles(p: TrapezoidParams, at: usize): Angles {
  const w = changetype<Angles>(at);
  const pairs = (<usize>(p.angleCount + 1)) >> 1;
  w.turns = at + ANGLES_BYTES;
  w.cos = w.turns + (pairs << 4);
  w.sin = w.cos + (pairs << 3);
  w.end = w.sin + (pairs << 3);
  return w;
}

/** An f32 of head `head` at a token of a tensor [B, T, HV]. */
// @ts-ignore: decorator
@inline
function valueAt(base: usize, strideB: i32, strideT: i32, strideH: i32, batch: i32, token: i32, head: i32): f32 {
  const element = <usize>batch * <usize>strideB + <usize>token * <usize>strideT + <usize>head * <usize>strideH;
  return load<f32>(base + (element << 2));
}

/** Address of the row of a head at a token of a tensor [B, T, H, ...]. */
// @ts-ignore: decorator
@inline
function rowAt(
  base: usize,
  type: i32,
  strideB: i32,
  strideT: i32,
  strideH: i32,
  batch: i32,
  token: i32,
  head: i32,
): usize {
  const element = <usize>batch * <usize>strideB + <usize>token * <usize>strideT + <usize>head * <usize>strideH;
  return base + element * elementBytes(type);
}

/** Turns the angles on by a token's and takes their cosines and sines. */
function turnOn(w: Angles, raw: usize, half: f64, count: i32): void {
  const step = f64x2.splat(half);
  for (let r: usize = 0; r < <usize>count; r += 2) {
    const x = f64x2.promote_low_f32x4(v128.load64_zero(raw + (r << 2)));
    const turns = f64x2.add(v128.load(w.turns + (r << 3)), f64x2.mul(tanh2(x), step));
    const rest = f64x2.sub(turns, f64x2.floor(turns));
    v128.store(w.turns + (r << 3), rest);
    turn2(rest, w.cos + (r << 2), w.sin + (r << 2));
  }
}

/** One row turned: the first 2 count elements in pairs, the others copied. */
function turnRow(x: usize, type: i32, o: usize, w: Angles, count: i32, n: i32): void {
  widenRow(x, type, o, n, 1);
  rotatePairs(o, o, w.cos, w.sin, count);
}

/**
 * What makes Mamba-3's trapezoidal recurrence with turning keys
 *   S_t = e^(A_t dt_t) (S_{t-1} + (1 - l_t) dt_t k'_{t-1} v_{t-1}) + l_t dt_t k'_t v_t, o_t = q'_t S_t
 * one of the gated-linear engine: S_t = e^g_t S_{t-1} + weight_t k'_t v_t, o_t = q'_t S_t + own_t (q'_t k'_t) v_t, where a token writes at
 * once what it writes with the next one. q' and k' are q and k with pair r turned by the sum of pi tanh(angles_s) dt_s over s <= t.
 *
 *   q, k         any storage [B, T, H, K]   rows contiguous
 *   v            any storage [B, T, HV, V]  rows contiguous
 *   dt, l, A     f32 [B, T, HV]             any strides
 *   angles       f32 [B, T, HV, R]          rows contiguous, 2 R <= K
 *   angleIn, kIn, vIn     f32 [N, HV, R], [N, HV, K], [N, HV, V]   of the token before; absent: zeros
 *   angleOut, kOut, vOut  likewise of the last token; may be those
 *   qTurned, kTurned      f32 [B, T, HV, K]
 *   g, weight, own        f32 [B, T, HV]
 *   kBefore, vBefore      f32 [N, HV, K], [N, HV, V]: copies of kIn and vIn
 *   weightBefore          f32 [N, HV]: what the token before writes with the first one
 *
 * All outputs are contiguous and alias no other input. Mamba-3, 2026. Item: one sequence and head. Scratch: trapezoidScratchBytes.
 */
export function trapezoid(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<TrapezoidParams>(params);
  const w = carveAngles(p, scratch);
  const keyBytes = (<usize>p.dk) << 2;
  const valueBytes = (<usize>p.dv) << 2;
  for (let item = begin; item < end; ++item) {
    const n = sequenceOfItem(p.sequences, p.sequenceCount, item);
    const sequence = sequenceAt(p.sequences, n);
    const batch = sequence.batch;
    const head = item - sequence.firstItem;
    const keyHead = head / p.group;
    const length = sequence.qLength;
    const state = <usize>(n * p.heads + head);
    const angle = state * ((<usize>p.angleCount) << 2);
    for (let r = 0; r < p.angleCount; ++r) {
      const start: f64 = p.angleIn ? <f64>load<f32>(p.angleIn + angle + ((<usize>r) << 2)) : 0;
      store<f64>(w.turns + ((<usize>r) << 3), start * 0.15915494309189535);
    }
    if (p.angleCount & 1) store<f64>(w.turns + ((<usize>p.angleCount) << 3), 0);
    if (p.kBefore) {
      memory.copy(p.kBefore + state * keyBytes, p.kIn + state * keyBytes, keyBytes);
      memory.copy(p.vBefore + state * valueBytes, p.vIn + state * valueBytes, valueBytes);
    }
    if (length == 0) {
      if (p.kBefore) store<f32>(p.weightBefore + (state << 2), 0);
      carryOver(p.angleIn, p.angleOut, angle, (<usize>p.angleCount) << 2);
      carryOver(p.kIn, p.kOut, state * keyBytes, keyBytes);
      carryOver(p.vIn, p.vOut, state * valueBytes, valueBytes);
      continue;
    }
    // what the token before this one writes with it
    let late: f32 = 0;
    for (let t = length - 1; t >= 0; --t) {
      const token = sequence.qStart + t;
      const at = (<usize>((batch * p.length + token) * p.heads + head)) << 2;
      const dt = valueAt(p.dt, p.dtStrideB, p.dtStrideT, p.dtStrideH, batch, token, head);
      const l = valueAt(p.lambda, p.lambdaStrideB, p.lambdaStrideT, p.lambdaStrideH, batch, token, head);
      const a = valueAt(p.a, p.aStrideB, p.aStrideT, p.aStrideH, batch, token, head);
      store<f32>(p.g + at, a * dt);
      store<f32>(p.weight + at, l * dt + late);
      store<f32>(p.own + at, -late);
      late = (1 - l) * dt;
    }
    if (p.kBefore) store<f32>(p.weightBefore + (state << 2), late);
    for (let t = 0; t < length; ++t) {
      const token = sequence.qStart + t;
      const dt = valueAt(p.dt, p.dtStrideB, p.dtStrideT, p.dtStrideH, batch, token, head);
      const raw = rowAt(p.angles, F32, p.anglesStrideB, p.anglesStrideT, p.anglesStrideH, batch, token, head);
      turnOn(w, raw, <f64>dt * 0.5, p.angleCount);
      const to = <usize>((batch * p.length + token) * p.heads + head) * keyBytes;
      const q = rowAt(p.q, p.qType, p.qStrideB, p.qStrideT, p.qStrideH, batch, token, keyHead);
      turnRow(q, p.qType, p.qTurned + to, w, p.angleCount, p.dk);
      const k = rowAt(p.k, p.kType, p.kStrideB, p.kStrideT, p.kStrideH, batch, token, keyHead);
      turnRow(k, p.kType, p.kTurned + to, w, p.angleCount, p.dk);
      if (t == length - 1) memory.copy(p.kOut + state * keyBytes, p.kTurned + to, keyBytes);
    }
    const last = sequence.qStart + length - 1;
    const v = rowAt(p.v, p.vType, p.vStrideB, p.vStrideT, p.vStrideH, batch, last, head);
    widenRow(v, p.vType, p.vOut + state * valueBytes, p.dv, 1);
    for (let r = 0; r < p.angleCount; ++r) {
      const turns = load<f64>(w.turns + ((<usize>r) << 3));
      store<f32>(p.angleOut + angle + ((<usize>r) << 2), <f32>(turns * 6.283185307179586));
    }
  }
}

/** A part of a state that no token changes. */
function carryOver(from: usize, to: usize, at: usize, bytes: usize): void {
  if (!from) memory.fill(to + at, 0, bytes);
  else if (from != to) memory.copy(to + at, from + at, bytes);
}

/** Bytes of scratch that `trapezoid` needs. */
export function trapezoidScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carveAngles(changetype<TrapezoidParams>(params), scratch).end - scratch);
}
