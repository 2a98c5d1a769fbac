import { attendBlock } from '../flash/attend';
import { flashScratchBytes } from '../flash/flash';
import { outputRow, writeOutput } from '../flash/output';
import { modifyRow, scoreFactor } from '../flash/rows';
import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { softmaxStep } from '../flash/softmax';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, rowGroups, SCORE_ROW } from '../flash/tile';
import { carve, openBlock, packRows, Tiles } from '../flash/tiles';
import { MR, panels } from '../gemm/panel';
import { DeltaformerParams, Sequence } from '../params';
import { exp2 } from '../simd/exp2';
import { fma } from '../simd/fma';
import { sum4 } from '../simd/reduce';
import { elementBytes, widenRow } from '../simd/storage';
import { solveStrip } from './trisolve';

/** Rows of a block, rounded up to whole tiles. */
const ROWS: i32 = ((BLOCK_K + MR - 1) / MR) * MR;
/** One 8-wide strip of a block, and of a row group of the output tile. */
const STRIP: usize = <usize>ROWS * 32;
const GROUP_STRIP: usize = <usize>MR * 32;

/** What a block needs beside flash's tiles. */
@unmanaged
class Block {
  /** f32 [ROWS, 64]: weights of the block's own keys; and the triangular system that they make. */
  weights: usize;
  system: usize;
  /** f32 [dv / 8, ROWS, 8]: right-hand side, then the new values. */
  u: usize;
  /** f32 [ROWS]: score of each row's own key; 1 / sum of weights of the keys before. */
  own: usize;
  inverse: usize;
  /** f32 [dv] */
  row: usize;
  end: usize;
}

const BLOCK_BYTES: usize = 32;

function carveBlock(p: DeltaformerParams, at: usize): Block {
  const s = changetype<Block>(at);
  const wide = roundUpNR(p.dv);
  s.weights = at + BLOCK_BYTES;
  s.system = s.weights + <usize>ROWS * SCORE_ROW;
  s.u = s.system + <usize>ROWS * SCORE_ROW;
  s.own = s.u + <usize>(wide >> 3) * STRIP;
  s.inverse = s.own + (((<usize>(ROWS + 3)) & ~3) << 2);
  s.row = s.inverse + (((<usize>(ROWS + 3)) & ~3) << 2);
  s.end = s.row + ((<usize>wide) << 2);
  return s;
}

/** Bytes of scratch that one thread of `deltaformer` needs; `scratch` has room for 128 bytes. */
export function deltaformerScratchBytes(params: usize, scratch: usize): i32 {
  const tiles = flashScratchBytes(params, scratch);
  return tiles + <i32>(carveBlock(changetype<DeltaformerParams>(params), scratch).end - scratch);
}

/** Weights of the block's own keys before each row, and the score of its own. */
function weighOwn(p: DeltaformerParams, s: Sequence, t: Tiles, b: Block, h: i32, q0: i32, rows: i32): void {
  const rowBytes = (<usize>p.dk) << 2;
  const panelBytes = rowBytes << 3;
  for (let g = 0; g < rowGroups(rows); ++g) {
    const first = g * MR;
    const live = min(MR, rows - first);
    const n = roundUpNR(first + live);
    const scores = b.weights + <usize>first * SCORE_ROW;
    panels(n >> 3, t.q + <usize>first * rowBytes, rowBytes, t.keys, panelBytes, scores, 32, SCORE_ROW, p.dk, 0);
    for (let r = 0; r < live; ++r) {
      const row = scores + <usize>r * SCORE_ROW;
      const i = first + r;
      store<f32>(b.own + ((<usize>i) << 2), load<f32>(row + ((<usize>i) << 2)));
      modifyRow(p, s, h, q0 + i, q0, row, n, 0, ~0);
    }
    const acc = t.o + <usize>(g * t.strips) * GROUP_STRIP;
    const at = <usize>first;
    softmaxStep(live, false, scores, SCORE_ROW, n, t.m + (at << 2), t.l + (at << 4), acc, 32, t.strips, GROUP_STRIP);
  }
}

/**
 * The block's new values: (I + diag(beta / l) P) u = v - beta / l acc, P being the weights of the block's own keys,
 * acc and l the sums over all keys before.
 */
function solveValues(p: DeltaformerParams, s: Sequence, t: Tiles, b: Block, h: i32, q0: i32, rows: i32): void {
  const bytes = elementBytes(p.vType);
  memory.fill(b.u, 0, <usize>t.strips * STRIP);
  for (let i = 0; i < rows; ++i) {
    const token = s.kStart + q0 + i;
    const l = sum4(v128.load(t.l + ((<usize>i) << 4)));
    const inverse: f32 = l == 0 ? 0 : 1 / l;
    store<f32>(b.inverse + ((<usize>i) << 2), inverse);
    const beta = s.batch * p.betaStrideB + token * p.betaStrideT + h * p.betaStrideH;
    const factor = f32x4.splat(-load<f32>(p.beta + ((<usize>beta) << 2)) * inverse);

    const weights = b.weights + <usize>i * SCORE_ROW;
    const system = b.system + <usize>i * SCORE_ROW;
    for (let j: usize = 0; j < (<usize>i) << 2; j += 16) {
      v128.store(system + j, f32x4.mul(factor, v128.load(weights + j)));
    }
    const value = s.batch * p.vStrideB + token * p.vStrideT + (h / p.group) * p.vStrideH;
    memory.fill(b.row, 0, (<usize>roundUpNR(p.dv)) << 2);
    widenRow(p.v + <usize>value * bytes, p.vType, b.row, p.dv, 1);
    const g = i / MR;
    let acc = t.o + <usize>(g * t.strips) * GROUP_STRIP + ((<usize>(i - g * MR)) << 5);
    let to = b.u + ((<usize>i) << 5);
    for (let c: usize = 0; c < <usize>t.strips; ++c) {
      v128.store(to, fma(factor, v128.load(acc), v128.load(b.row + (c << 5))));
      v128.store(to, fma(factor, v128.load(acc, 16), v128.load(b.row + (c << 5), 16)), 16);
      acc += GROUP_STRIP;
      to += STRIP;
    }
  }
  // the last tile takes rows past the end along
  memory.fill(b.system + <usize>rows * SCORE_ROW, 0, <usize>(ROWS - rows) * SCORE_ROW);
  for (let c = 0; c < t.strips; ++c) solveStrip(b.system, SCORE_ROW, b.u + <usize>c * STRIP, rows, 0);
  for (let c: usize = 0; c < <usize>t.strips; ++c) {
    memory.copy(t.values + c * <usize>(BLOCK_K * 32), b.u + c * STRIP, <usize>(BLOCK_K * 32));
  }
}

/** o of the block: the sums over keys before each row, its own block's among them, and the row's own new value. */
function finishRows(p: DeltaformerParams, s: Sequence, t: Tiles, b: Block, h: i32, q0: i32, rows: i32): void {
  for (let g = 0; g < rowGroups(rows); ++g) {
    const first = g * MR;
    const live = min(MR, rows - first);
    const weights = b.weights + <usize>first * SCORE_ROW;
    const acc = t.o + <usize>(g * t.strips) * GROUP_STRIP;
    panels(t.strips, weights, SCORE_ROW, b.u, STRIP, acc, GROUP_STRIP, 32, first + live, 1);
    for (let r = 0; r < live; ++r) {
      const i = first + r;
      const reference = load<f32>(t.m + ((<usize>i) << 2));
      const score = load<f32>(b.own + ((<usize>i) << 2));
      const top = max<f32>(reference, score);
      let before: f32 = reference == -Infinity ? 0 : exp2(reference - top);
      let own: f32 = exp2(score - top);
      const total = before * sum4(v128.load(t.l + ((<usize>i) << 4))) + own;
      before /= total;
      own /= total;
      const out = outputRow(p, s, h, q0 + i);
      for (let c = 0; c < p.dv; c += 4) {
        const lane = (<usize>(c & 4)) << 2;
        const sum = v128.load(acc + <usize>(c >> 3) * GROUP_STRIP + ((<usize>r) << 5) + lane);
        const u = v128.load(b.u + <usize>(c >> 3) * STRIP + ((<usize>i) << 5) + lane);
        writeOutput(p, out, c, fma(f32x4.splat(before), sum, f32x4.mul(f32x4.splat(own), u)));
      }
    }
  }
}

/**
 * DeltaFormer: u_i = v_i - beta_i sum_{j < i} softmax_{j < i}(scale q_i k_j) u_j,
 * o_i = sum_{j <= i} softmax_{j <= i}(scale q_i k_j) u_j.
 *
 *   q     [B, T, Hq, dk], v [B, T, Hkv, dv]   f32, f16 or bf16; any strides, last axis contiguous
 *   kPack as flashPack writes it, kNorms with it
 *   beta  f32 [B, T, Hq]
 *   vPack f32 [Hq, blocks, ceil8(dv) / 8, 64, 8]  receives u
 *   o     f32 [B, T, Hq, dv]; aliases nothing
 *
 * Both softmaxes have the same scores, so one pass over the keys before a row gives the sum that u_i needs and, with
 * the row's own key added, o_i. Blocks of 64 rows attend to finished blocks with flash's tiles; within a block a
 * triangular system is solved. The sequence table's offset is -1: a row does not see its own key.
 * DeltaFormer (Zhong 2025).
 *
 * Item: one (sequence, query head). Scratch: deltaformerScratchBytes.
 */
export function deltaformer(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DeltaformerParams>(params);
  const t = carve(p, scratch);
  const b = carveBlock(p, t.end);
  const factor = scoreFactor(p);
  const keyBytes = <usize>(BLOCK_K * p.dk * 4);
  const valueBytes = <usize>t.strips * <usize>(BLOCK_K * 32);
  // what a tile reads of its weights on and above the diagonal has no effect, but must be no trap
  memory.fill(b.system, 0, <usize>ROWS * SCORE_ROW);
  for (let item = begin; item < end; ++item) {
    const s = sequenceAt(p.sequences, sequenceOfItem(p.sequences, p.sequenceCount, item));
    const h = item - s.firstItem;
    const keys = <usize>((h / p.group) * p.blocks + s.packBlock);
    const values = p.vPack + <usize>(h * p.blocks + s.packBlock) * valueBytes;
    for (let q0 = 0; q0 < s.qLength; q0 += BLOCK_K) {
      const rows = min(BLOCK_K, s.qLength - q0);
      const start = s.batch * p.qStrideB + (s.qStart + q0) * p.qStrideT + h * p.qStrideH;
      packRows(p.q + <usize>start * elementBytes(p.qType), p.qType, p.qStrideT, rows, t.q, p.dk, factor);
      openBlock(p, t, rows);
      const own = q0 >> BLOCK_K_SHIFT;
      for (let block = 0; block <= own; ++block) {
        t.keys = p.kPack + (keys + <usize>block) * keyBytes;
        t.keyNorm = load<f32>(p.kNorms + ((keys + <usize>block) << 2));
        t.values = values + <usize>block * valueBytes;
        if (block < own) attendBlock(p, s, t, h, q0, rows, block);
      }
      weighOwn(p, s, t, b, h, q0, rows);
      solveValues(p, s, t, b, h, q0, rows);
      finishRows(p, s, t, b, h, q0, rows);
    }
  }
}
