import { roundUpMR } from '../delta/trisolve';
import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { roundUpNR } from '../flash/tile';
import { panelRow } from '../gemm/gemm';
import { MR, NR, panel, panels } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { MesaParams, Sequence } from '../params';
import { STATE_FLUSH } from '../simd/constants';
import { exp1 } from '../simd/exp';
import { flushed4, flushedBelow } from '../simd/flush';
import { fma } from '../simd/fma';
import { sum4 } from '../simd/reduce';
import { maxAbsRow } from '../simd/row';
import { elementBytes, widenRow } from '../simd/storage';

/** Tokens whose systems are solved together: whole tiles of both builds, and whole panels. */
const CHUNK: i32 = 24;
/** Bytes of a row of a chunk by a chunk, and of an 8-wide strip of a chunk. */
const CHUNK_ROW: usize = (<usize>CHUNK) << 2;
const STRIP: usize = (<usize>CHUNK) << 5;
/** Iterations end where squared residuals are this share of the right-hand side's, whatever the tolerance. */
const LEAST_SQUARE: f32 = 1e-24;

/** Scratch of one thread. K is dk and V dv rounded up to 8; tall is dk rounded up to whole tiles. */
@unmanaged
class Workspace {
  /** f32 [K / 8, tall, 8], [V / 8, tall, 8]: the states before the chunk, packed as right operands. */
  kk: usize;
  kv: usize;
  /** f32 [24, K]: solutions, residuals, directions, and products of the latter with H. */
  x: usize;
  r: usize;
  p: usize;
  hp: usize;
  /** f32 [24, max(K, V)]: rows as they come in; outputs. */
  rows: usize;
  /** f32 [3, dk, 8], [tall, 24], [K / 8, 24, 8], [V / 8, 24, 8]: keys and values of the chunk as operands. */
  kPanels: usize;
  kT: usize;
  kStrips: usize;
  vStrips: usize;
  /** f32 [24, 24]: beta_j times the decay from token j to t, 0 for j > t; and products with keys. */
  decays: usize;
  weights: usize;
  /** f32 [24]: decay from the chunk's start to t, its own token's included. */
  faded: usize;
  /** f32 [24]: squared residuals, where to stop (-1 in rows that are done or past the end), and the units of q. */
  squares: usize;
  limits: usize;
  units: usize;
  /** f32 [K] */
  lamb: usize;
  end: usize;
}

const WORKSPACE_BYTES: usize = 80;

function carve(p: MesaParams, at: usize): Workspace {
  const s = changetype<Workspace>(at);
  const wideK = (<usize>roundUpNR(p.dk)) << 2;
  const wideV = (<usize>roundUpNR(p.dv)) << 2;
  const tall = <usize>roundUpMR(p.dk);
  const block = <usize>CHUNK * wideK;
  s.kk = at + WORKSPACE_BYTES;
  s.kv = s.kk + tall * wideK;
  s.x = s.kv + tall * wideV;
  s.r = s.x + block;
  s.p = s.r + block;
  s.hp = s.p + block;
  s.rows = s.hp + block;
  s.kPanels = s.rows + <usize>CHUNK * max(wideK, wideV);
  s.kT = s.kPanels + ((<usize>(CHUNK * p.dk)) << 2);
  s.kStrips = s.kT + tall * CHUNK_ROW;
  s.vStrips = s.kStrips + block;
  s.decays = s.vStrips + <usize>CHUNK * wideV;
  s.weights = s.decays + <usize>CHUNK * CHUNK_ROW;
  s.faded = s.weights + <usize>CHUNK * CHUNK_ROW;
  s.squares = s.faded + CHUNK_ROW;
  s.limits = s.squares + CHUNK_ROW;
  s.units = s.limits + CHUNK_ROW;
  s.lamb = s.units + CHUNK_ROW;
  s.end = s.lamb + wideK;
  return s;
}

/** Bytes of scratch that one thread of `mesa` or `mesaStates` needs; `scratch` has room for 128 bytes. */
export function mesaScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<MesaParams>(params), scratch).end - scratch);
}

/** A row of `d` floats into row `at` of strips, `step` bytes apart. */
function rowToStrips(row: usize, d: i32, strips: usize, step: usize, at: i32): void {
  let to = strips + ((<usize>at) << 5);
  for (let c = 0; c < d; c += NR) {
    if (c + NR <= d) {
      v128.store(to, v128.load(row + ((<usize>c) << 2)));
      v128.store(to, v128.load(row + ((<usize>c) << 2), 16), 16);
    } else {
      memory.fill(to, 0, 32);
      memory.copy(to, row + ((<usize>c) << 2), (<usize>(d - c)) << 2);
    }
    to += step;
  }
}

/** A state f32 [dk, d], or zeros, into strips. */
function loadState(from: usize, dk: i32, d: i32, strips: usize, tall: usize): void {
  if (!from) {
    memory.fill(strips, 0, <usize>(roundUpNR(d) >> 3) * tall);
    return;
  }
  for (let i = 0; i < dk; ++i) rowToStrips(from + ((<usize>(i * d)) << 2), d, strips, tall, i);
}

/** The other way. */
function storeState(strips: usize, tall: usize, dk: i32, d: i32, to: usize): void {
  const rowBytes = (<usize>d) << 2;
  for (let c = 0; c < d; c += NR) {
    let from = strips + <usize>(c >> 3) * tall;
    let row = to + ((<usize>c) << 2);
    const whole = c + NR <= d;
    for (let i = 0; i < dk; ++i) {
      if (whole) {
        v128.store(row, v128.load(from));
        v128.store(row, v128.load(from, 16), 16);
      } else {
        for (let j: usize = 0; j < (<usize>(d - c)) << 2; j += 4) store<f32>(row + j, load<f32>(from + j));
      }
      from += 32;
      row += rowBytes;
    }
  }
}

/** Keys, values and decays of a chunk of `rows` tokens from `token` on. */
function loadChunk(p: MesaParams, s: Workspace, batch: i32, token: i32, rows: i32, h: i32): void {
  const rowBytes = (<usize>p.dk) << 2;
  const k = p.k + <usize>(batch * p.kStrideB + token * p.kStrideT + h * p.kStrideH) * elementBytes(p.kType);
  for (let t = 0; t < rows; ++t) {
    const row = s.rows + <usize>t * rowBytes;
    widenRow(k + <usize>(t * p.kStrideT) * elementBytes(p.kType), p.kType, row, p.dk, 1);
    rowToStrips(row, p.dk, s.kStrips, STRIP, t);
  }
  memory.fill(s.rows + <usize>rows * rowBytes, 0, <usize>(CHUNK - rows) * rowBytes);
  for (let t = 0; t < rows; t += NR) {
    const keys = s.kPanels + <usize>t * rowBytes;
    transposePanel(s.rows + <usize>t * rowBytes, rowBytes, keys, p.dk);
    let to = s.kT + ((<usize>t) << 2);
    for (let d: usize = 0; d < rowBytes << 3; d += 32) {
      v128.store(to, v128.load(keys + d));
      v128.store(to, v128.load(keys + d, 16), 16);
      to += CHUNK_ROW;
    }
  }
  const v = p.v + <usize>(batch * p.vStrideB + token * p.vStrideT + h * p.vStrideH) * elementBytes(p.vType);
  for (let t = 0; t < rows; ++t) {
    widenRow(v + <usize>(t * p.vStrideT) * elementBytes(p.vType), p.vType, s.rows, p.dv, 1);
    rowToStrips(s.rows, p.dv, s.vStrips, STRIP, t);
  }

  // products of decays, not differences of their logs: exact for any gate, -Infinity among them
  let faded: f32 = 1;
  let above: usize = 0;
  const least = v128.load(STATE_FLUSH);
  memory.fill(s.decays, 0, <usize>CHUNK * CHUNK_ROW);
  for (let t = 0; t < rows; ++t) {
    const row = s.decays + <usize>t * CHUNK_ROW;
    const gate = batch * p.gStrideB + (token + t) * p.gStrideT + h * p.gStrideH;
    const decay: f32 = p.g ? exp1(load<f32>(p.g + ((<usize>gate) << 2))) : 1;
    faded *= decay;
    if (faded < 7.9e-31) faded = 0;
    store<f32>(s.faded + ((<usize>t) << 2), faded);
    if (above) {
      const factor = f32x4.splat(decay);
      for (let j: usize = 0; j < (<usize>t) << 2; j += 16) {
        v128.store(row + j, flushedBelow(f32x4.mul(v128.load(above + j), factor), least));
      }
    }
    const beta = batch * p.betaStrideB + (token + t) * p.betaStrideT + h * p.betaStrideH;
    store<f32>(row + ((<usize>t) << 2), load<f32>(p.beta + ((<usize>beta) << 2)));
    above = row;
  }
}

/** S <- decay S + sum_j k_j w_j x_j for one state, with the x_j, rows of `right`, already weighted. */
function advanceState(s: Workspace, state: usize, dk: i32, strips: i32, right: usize, decay: f32, rows: i32): void {
  const tall = (<usize>roundUpMR(dk)) << 5;
  if (decay != 1) {
    const factor = f32x4.splat(decay);
    for (let c = 0; c < strips; ++c) {
      const strip = state + <usize>c * tall;
      for (let i: usize = 0; i < (<usize>dk) << 5; i += 16) {
        v128.store(strip + i, flushed4(f32x4.mul(v128.load(strip + i), factor)));
      }
    }
  }
  for (let d = 0; d < dk; d += MR) {
    const keys = s.kT + <usize>d * CHUNK_ROW;
    panels(strips, keys, CHUNK_ROW, right, STRIP, state + ((<usize>d) << 5), tall, 32, rows, 1);
  }
}

/** The states after the chunk; its keys and values are weighted by their decays on the way and serve no more. */
function advance(p: MesaParams, s: Workspace, rows: i32): void {
  const last = s.decays + <usize>(rows - 1) * CHUNK_ROW;
  const stripsK = roundUpNR(p.dk) >> 3;
  const stripsV = roundUpNR(p.dv) >> 3;
  for (let t: usize = 0; t < <usize>rows; ++t) {
    const weight = v128.load_splat<f32>(last + (t << 2));
    for (let c: usize = 0; c < <usize>stripsK; ++c) {
      const at = s.kStrips + c * STRIP + (t << 5);
      v128.store(at, f32x4.mul(v128.load(at), weight));
      v128.store(at, f32x4.mul(v128.load(at, 16), weight), 16);
    }
    for (let c: usize = 0; c < <usize>stripsV; ++c) {
      const at = s.vStrips + c * STRIP + (t << 5);
      v128.store(at, f32x4.mul(v128.load(at), weight));
      v128.store(at, f32x4.mul(v128.load(at, 16), weight), 16);
    }
  }
  const decay = load<f32>(s.faded + ((<usize>(rows - 1)) << 2));
  advanceState(s, s.kk, p.dk, stripsK, s.kStrips, decay, rows);
  advanceState(s, s.kv, p.dk, stripsV, s.vStrips, decay, rows);
}

/**
 * One token's S = decay S + k (beta x) from memory to memory and into the strips, in one sweep; x is row 0 of `right`.
 *
 *   from, to  f32 [dk, d]   may be the same; from 0: zeros
 */
function advanceToken(
  s: Workspace,
  from: usize,
  to: usize,
  dk: i32,
  d: i32,
  state: usize,
  right: usize,
  decay: f32,
  beta: f32,
): void {
  const tall = (<usize>roundUpMR(dk)) << 5;
  const rowBytes = (<usize>d) << 2;
  const faded = f32x4.splat(decay);
  const least = v128.load(STATE_FLUSH);
  const weight = f32x4.splat(beta);
  for (let c = 0; c < d; c += NR) {
    const strip = state + <usize>(c >> 3) * tall;
    const x = right + <usize>(c >> 3) * STRIP;
    const x0 = f32x4.mul(v128.load(x), weight);
    const x1 = f32x4.mul(v128.load(x, 16), weight);
    const columns = min(NR, d - c);
    let at = (<usize>c) << 2;
    let key = s.kT;
    for (let i = 0; i < dk; ++i) {
      const row = strip + ((<usize>i) << 5);
      if (!from) {
        v128.store(row, i32x4.splat(0));
        v128.store(row, i32x4.splat(0), 16);
      } else if (columns == NR) {
        v128.store(row, v128.load(from + at));
        v128.store(row, v128.load(from + at, 16), 16);
      } else {
        for (let j: usize = 0; j < (<usize>columns) << 2; j += 4) store<f32>(row + j, load<f32>(from + at + j));
        memory.fill(row + ((<usize>columns) << 2), 0, (<usize>(NR - columns)) << 2);
      }
      const k = v128.load_splat<f32>(key);
      const s0 = fma(k, x0, flushedBelow(f32x4.mul(v128.load(row), faded), least));
      const s1 = fma(k, x1, flushedBelow(f32x4.mul(v128.load(row, 16), faded), least));
      v128.store(row, s0);
      v128.store(row, s1, 16);
      if (columns == NR) {
        v128.store(to + at, s0);
        v128.store(to + at, s1, 16);
      } else {
        for (let j: usize = 0; j < (<usize>columns) << 2; j += 4) store<f32>(to + at + j, load<f32>(row + j));
      }
      key += CHUNK_ROW;
      at += rowBytes;
    }
  }
}

/** Whether a row of the group from `first` on still iterates. */
// @ts-ignore: decorator
@inline
function groupActive(s: Workspace, first: i32): bool {
  for (let t = first; t < first + MR; ++t) if (load<f32>(s.limits + ((<usize>t) << 2)) >= 0) return true;
  return false;
}

/**
 * out_t = a_t H_t: the state before the chunk, faded, and the chunk's tokens up to t, for the rows of active groups.
 *
 *   a      f32 [24, K]          rows contiguous to the next
 *   state  f32 [strips, tall, 8], right f32 [strips, 24, 8]
 *   out    f32 [24, strips * 8]
 *
 * @param alone the chunk is one token, which the state holds already
 * @param all every row, whether it iterates or not
 */
function multiply(
  p: MesaParams,
  s: Workspace,
  a: usize,
  state: usize,
  right: usize,
  strips: i32,
  out: usize,
  rows: i32,
  alone: bool,
  all: bool,
): void {
  const dk = p.dk;
  const tall = (<usize>roundUpMR(dk)) << 5;
  const aStride = (<usize>roundUpNR(dk)) << 2;
  const outStride = (<usize>strips) << 5;
  if (alone) {
    for (let c: usize = 0; c < <usize>strips; ++c) panelRow(a, state + c * tall, out + (c << 5), dk, 0);
    return;
  }
  // a strip of the state stays in the first-level cache while the groups pass
  for (let c: usize = 0; c < <usize>strips; ++c) {
    for (let first = 0; first < rows; first += MR) {
      if (!all && !groupActive(s, first)) continue;
      panel(
        a + <usize>first * aStride,
        aStride,
        state + c * tall,
        out + <usize>first * outStride + (c << 5),
        outStride,
        dk,
        0,
      );
    }
  }
  const panelBytes = (<usize>dk) << 5;
  for (let first = 0; first < rows; first += MR) {
    if (!all && !groupActive(s, first)) continue;
    const seen = min(CHUNK, first + MR);
    const weights = s.weights + <usize>first * CHUNK_ROW;
    const count = min(CHUNK >> 3, (seen + 7) >> 3);
    panels(count, a + <usize>first * aStride, aStride, s.kPanels, panelBytes, weights, 32, CHUNK_ROW, dk, 0);
    for (let r: usize = 0; r < <usize>MR; ++r) {
      const t = <usize>first + r;
      const row = weights + r * CHUNK_ROW;
      const decays = s.decays + t * CHUNK_ROW;
      for (let j: usize = 0; j < (<usize>count) << 5; j += 16) {
        v128.store(row + j, f32x4.mul(v128.load(row + j), v128.load(decays + j)));
      }
      const faded = v128.load_splat<f32>(s.faded + (t << 2));
      const to = out + t * outStride;
      for (let c: usize = 0; c < outStride; c += 16) v128.store(to + c, f32x4.mul(v128.load(to + c), faded));
    }
    panels(strips, weights, CHUNK_ROW, right, STRIP, out + <usize>first * outStride, 32, outStride, min(seen, rows), 1);
  }
}

/** hp += lamb p; gives p hp. */
function regularize(hp: usize, lamb: usize, p: usize, bytes: usize): f32 {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  for (let c: usize = 0; c < bytes; c += 32) {
    const p0 = v128.load(p + c);
    const p1 = v128.load(p + c, 16);
    const h0 = fma(v128.load(lamb + c), p0, v128.load(hp + c));
    const h1 = fma(v128.load(lamb + c, 16), p1, v128.load(hp + c, 16));
    v128.store(hp + c, h0);
    v128.store(hp + c, h1, 16);
    s0 = fma(p0, h0, s0);
    s1 = fma(p1, h1, s1);
  }
  return sum4(f32x4.add(s0, s1));
}

/** x += alpha p, r -= alpha hp; gives r r. */
function descend(x: usize, r: usize, p: usize, hp: usize, alpha: f32, bytes: usize): f32 {
  const a = f32x4.splat(alpha);
  const minus = f32x4.splat(-alpha);
  let s0 = i32x4.splat(0);
  let s1 = s0;
  for (let c: usize = 0; c < bytes; c += 32) {
    v128.store(x + c, fma(a, v128.load(p + c), v128.load(x + c)));
    v128.store(x + c, fma(a, v128.load(p + c, 16), v128.load(x + c, 16)), 16);
    const r0 = fma(minus, v128.load(hp + c), v128.load(r + c));
    const r1 = fma(minus, v128.load(hp + c, 16), v128.load(r + c, 16));
    v128.store(r + c, r0);
    v128.store(r + c, r1, 16);
    s0 = fma(r0, r0, s0);
    s1 = fma(r1, r1, s1);
  }
  return sum4(f32x4.add(s0, s1));
}

/** p = r + beta p. */
function turn(p: usize, r: usize, beta: f32, bytes: usize): void {
  const b = f32x4.splat(beta);
  for (let c: usize = 0; c < bytes; c += 16) v128.store(p + c, fma(b, v128.load(p + c), v128.load(r + c)));
}

/** Rows q_t in units of a power of two near their size, as residuals and first directions; x = 0. */
function openRows(p: MesaParams, s: Workspace, batch: i32, token: i32, rows: i32, h: i32): void {
  const wide = (<usize>roundUpNR(p.dk)) << 2;
  const q = p.q + <usize>(batch * p.qStrideB + token * p.qStrideT + h * p.qStrideH) * elementBytes(p.qType);
  memory.fill(s.x, 0, <usize>CHUNK * wide);
  memory.fill(s.r, 0, <usize>CHUNK * wide);
  memory.fill(s.p, 0, <usize>CHUNK * wide);
  for (let t = 0; t < CHUNK; ++t) {
    const at = (<usize>t) << 2;
    let limit: f32 = -1;
    if (t < rows) {
      const r = s.r + <usize>t * wide;
      widenRow(q + <usize>(t * p.qStrideT) * elementBytes(p.qType), p.qType, r, p.dk, 1);
      // squares of very large or small numbers would leave the range
      const exponent = reinterpret<u32>(maxAbsRow(r, p.dk)) & 0x7f800000;
      const usual = exponent > 0x04000000 && exponent < 0x7a000000;
      const unit: f32 = usual ? reinterpret<f32>(exponent) : 1;
      widenRow(r, 0, r, p.dk, 1 / unit);
      memory.copy(s.p + <usize>t * wide, r, wide);
      let square: f32 = 0;
      for (let c: usize = 0; c < wide; c += 4) square += load<f32>(r + c) * load<f32>(r + c);
      store<f32>(s.units + at, unit);
      store<f32>(s.squares + at, square);
      limit = max<f32>(p.tolerance * p.tolerance, LEAST_SQUARE) * square;
      // a row of zeros is solved; one that is not finite never is, and shows
      if (!(square > limit)) limit = -1;
      if (!(square < Infinity)) memory.copy(s.x + <usize>t * wide, r, wide);
    }
    store<f32>(s.limits + at, limit);
  }
}

/** x_t = q_t / (diagonal of H_t + lamb), with the residuals that it leaves. */
function startFromDiagonal(p: MesaParams, s: Workspace, rows: i32, alone: bool): void {
  const wide = (<usize>roundUpNR(p.dk)) << 2;
  const tall = (<usize>roundUpMR(p.dk)) << 5;
  for (let t = 0; t < rows; ++t) {
    const faded: f32 = alone ? 1 : load<f32>(s.faded + ((<usize>t) << 2));
    const decays = s.decays + <usize>t * CHUNK_ROW;
    for (let c = 0; c < p.dk; ++c) {
      const column = (<usize>(c & 7)) << 2;
      let diagonal = faded * load<f32>(s.kk + <usize>(c >> 3) * tall + ((<usize>c) << 5) + column);
      if (!alone) {
        for (let j: usize = 0; j <= <usize>t; ++j) {
          const key = load<f32>(s.kT + <usize>c * CHUNK_ROW + (j << 2));
          diagonal += load<f32>(decays + (j << 2)) * key * key;
        }
      }
      const at = <usize>t * wide + ((<usize>c) << 2);
      store<f32>(s.x + at, load<f32>(s.r + at) / (diagonal + load<f32>(s.lamb + ((<usize>c) << 2))));
    }
  }
  multiply(p, s, s.x, s.kk, s.kStrips, roundUpNR(p.dk) >> 3, s.hp, rows, alone, true);
  for (let t: usize = 0; t < <usize>rows; ++t) {
    const r = s.r + t * wide;
    regularize(s.hp + t * wide, s.lamb, s.x + t * wide, wide);
    let square: f32 = 0;
    for (let c: usize = 0; c < wide; c += 4) {
      const rest = load<f32>(r + c) - load<f32>(s.hp + t * wide + c);
      store<f32>(r + c, rest);
      square += rest * rest;
    }
    memory.copy(s.p + t * wide, r, wide);
    store<f32>(s.squares + (t << 2), square);
    if (!(square > load<f32>(s.limits + (t << 2)))) store<f32>(s.limits + (t << 2), -1);
  }
}

/** x_t (H_t + diag lamb) = q_t by conjugate gradients, every row until its own residual is small enough. */
function solveRows(p: MesaParams, s: Workspace, rows: i32, alone: bool): void {
  const wide = (<usize>roundUpNR(p.dk)) << 2;
  const strips = roundUpNR(p.dk) >> 3;
  if (p.jacobi) startFromDiagonal(p, s, rows, alone);
  for (let iteration = 0; iteration < p.maxIterations; ++iteration) {
    let active = 0;
    for (let t = 0; t < rows; ++t) active += i32(load<f32>(s.limits + ((<usize>t) << 2)) >= 0);
    if (active == 0) return;
    multiply(p, s, s.p, s.kk, s.kStrips, strips, s.hp, rows, alone, false);
    for (let t: usize = 0; t < <usize>rows; ++t) {
      const limit = load<f32>(s.limits + (t << 2));
      if (limit < 0) continue;
      const direction = s.p + t * wide;
      const residual = s.r + t * wide;
      const product = s.hp + t * wide;
      const curvature = regularize(product, s.lamb, direction, wide);
      if (curvature <= 0) {
        store<f32>(s.limits + (t << 2), -1);
        continue;
      }
      const before = load<f32>(s.squares + (t << 2));
      const after = descend(s.x + t * wide, residual, direction, product, before / curvature, wide);
      store<f32>(s.squares + (t << 2), after);
      if (after > limit) turn(direction, residual, after / before, wide);
      else store<f32>(s.limits + (t << 2), -1);
    }
  }
}

/** o_t = x_t H_kv,t, in q's own units. */
function writeRows(p: MesaParams, s: Workspace, batch: i32, token: i32, rows: i32, h: i32, alone: bool): void {
  const strips = roundUpNR(p.dv) >> 3;
  multiply(p, s, s.x, s.kv, s.vStrips, strips, s.rows, rows, alone, true);
  for (let t = 0; t < rows; ++t) {
    const to = p.o + ((<usize>(batch * p.oStrideB + (token + t) * p.oStrideT + h * p.oStrideH)) << 2);
    widenRow(s.rows + ((<usize>(t * strips)) << 5), 0, to, p.dv, load<f32>(s.units + ((<usize>t) << 2)));
  }
}

/** State of `dk` columns, or of `dv`, of matrix n; 0 where there is none. */
// @ts-ignore: decorator
@inline
function stateAt(states: usize, n: i32, size: i32): usize {
  return states ? states + ((<usize>n * <usize>size) << 2) : 0;
}

/** Zeroes what chunks leave unwritten of their operands. */
function openOperands(p: MesaParams, s: Workspace): void {
  const dk = p.dk;
  memory.fill(s.kStrips, 0, <usize>(roundUpNR(dk) >> 3) * STRIP);
  memory.fill(s.kPanels, 0, (<usize>(CHUNK * dk)) << 2);
  memory.fill(s.kT, 0, <usize>roundUpMR(dk) * CHUNK_ROW);
}

/** Loads the states before a segment: those of the sequence, or what mesaStates has left. */
function openSegment(p: MesaParams, s: Workspace, state: i32, item: i32, segment: i32): void {
  const dk = p.dk;
  const tall = (<usize>roundUpMR(dk)) << 5;
  let kk = stateAt(p.kkIn, state, dk * dk);
  let kv = stateAt(p.kvIn, state, dk * p.dv);
  if (segment > 0) {
    kk = stateAt(p.segmentStates, item, dk * (dk + p.dv));
    kv = kk + ((<usize>(dk * dk)) << 2);
  }
  loadState(kk, dk, dk, s.kk, tall);
  loadState(kv, dk, p.dv, s.kv, tall);
}

/** A sequence of one token, as in a step: its states go from memory to memory once. */
function solveToken(p: MesaParams, s: Workspace, sequence: Sequence, state: i32, h: i32): void {
  const dk = p.dk;
  const token = sequence.qStart;
  loadChunk(p, s, sequence.batch, token, 1, h);
  openRows(p, s, sequence.batch, token, 1, h);
  const decay = load<f32>(s.faded);
  const beta = load<f32>(s.decays);
  const kkIn = stateAt(p.kkIn, state, dk * dk);
  const kvIn = stateAt(p.kvIn, state, dk * p.dv);
  advanceToken(s, kkIn, stateAt(p.kkOut, state, dk * dk), dk, dk, s.kk, s.kStrips, decay, beta);
  advanceToken(s, kvIn, stateAt(p.kvOut, state, dk * p.dv), dk, p.dv, s.kv, s.vStrips, decay, beta);
  solveRows(p, s, 1, true);
  writeRows(p, s, sequence.batch, token, 1, h, true);
}

/**
 * MesaNet: x_t = (H_kk,t + diag lamb)^-1 q_t, o_t = x_t H_kv,t.
 *
 *   q, k [B, T, H, dk], v [B, T, H, dv]   f32, f16 or bf16; any strides, last axis contiguous
 *   beta, g    f32 [B, T, H]              g absent: no decay
 *   lamb       f32 [H, dk]                contiguous, positive
 *   o          f32 [B, T, H, dv]          rows contiguous; aliases nothing
 *   kkIn, kkOut f32 [N, H, dk, dk], kvIn, kvOut f32 [N, H, dk, dv]   contiguous; in absent: zeros; out may be in
 *   segmentStates  as mesaStates writes them
 *
 *   H_kk,t = e^g_t H_kk,t-1 + beta_t k_t k_t, H_kv,t = e^g_t H_kv,t-1 + beta_t k_t v_t. Systems are solved by conjugate
 *   gradients (Hestenes and Stiefel 1952), 24 tokens at a time, so that a product with all H_t is a matrix product with
 *   the state before the chunk and one with its keys. MesaNet (von Oswald 2025).
 *
 * Item: one (sequence, segment, head). Scratch: mesaScratchBytes.
 */
export function mesa(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<MesaParams>(params);
  const s = carve(p, scratch);
  const dk = p.dk;
  const tall = (<usize>roundUpMR(dk)) << 5;
  openOperands(p, s);
  for (let item = begin; item < end; ++item) {
    const index = sequenceOfItem(p.sequences, p.sequenceCount, item);
    const sequence = sequenceAt(p.sequences, index);
    const local = item - sequence.firstItem;
    const segment = local / p.heads;
    const h = local - segment * p.heads;
    const state = index * p.heads + h;
    memory.fill(s.lamb, 0, (<usize>roundUpNR(dk)) << 2);
    memory.copy(s.lamb, p.lamb + ((<usize>(h * dk)) << 2), (<usize>dk) << 2);
    if (sequence.qLength == 1) {
      solveToken(p, s, sequence, state, h);
      continue;
    }
    openSegment(p, s, state, item, segment);
    const stop = min(sequence.qLength, (segment + 1) * p.segment);
    for (let t0 = segment * p.segment; t0 < stop; t0 += CHUNK) {
      const rows = min(CHUNK, stop - t0);
      const token = sequence.qStart + t0;
      const alone = rows == 1;
      loadChunk(p, s, sequence.batch, token, rows, h);
      openRows(p, s, sequence.batch, token, rows, h);
      if (alone) advance(p, s, rows);
      solveRows(p, s, rows, alone);
      writeRows(p, s, sequence.batch, token, rows, h, alone);
      if (!alone) advance(p, s, rows);
    }
    if (stop == sequence.qLength) {
      storeState(s.kk, tall, dk, dk, stateAt(p.kkOut, state, dk * dk));
      storeState(s.kv, tall, dk, p.dv, stateAt(p.kvOut, state, dk * p.dv));
    }
  }
}

/**
 * The states before the segments of `mesa`, but the first of each sequence: solving takes far longer than the states
 * do, and can then begin anywhere. Operands and scratch of mesa; writes segmentStates.
 *
 * Item: one (sequence, head).
 */
export function mesaStates(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<MesaParams>(params);
  const s = carve(p, scratch);
  const dk = p.dk;
  const tall = (<usize>roundUpMR(dk)) << 5;
  openOperands(p, s);
  for (let item = begin; item < end; ++item) {
    const index = item / p.heads;
    const h = item - index * p.heads;
    const sequence: Sequence = sequenceAt(p.sequences, index);
    openSegment(p, s, item, 0, 0);
    const segments = (sequence.qLength + p.segment - 1) / p.segment;
    for (let segment = 1; segment < segments; ++segment) {
      for (let t0 = (segment - 1) * p.segment; t0 < segment * p.segment; t0 += CHUNK) {
        loadChunk(p, s, sequence.batch, sequence.qStart + t0, CHUNK, h);
        advance(p, s, CHUNK);
      }
      const kk = stateAt(p.segmentStates, sequence.firstItem + segment * p.heads + h, dk * (dk + p.dv));
      storeState(s.kk, tall, dk, dk, kk);
      storeState(s.kv, tall, dk, p.dv, kk + ((<usize>(dk * dk)) << 2));
    }
  }
}
