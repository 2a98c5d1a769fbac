import { rotateHalves, rotatePairs } from '../../elementwise/rope';
import { endKey, firstKey, modifyRow, plainScores, scoreFactor } from '../../flash/rows';
import { sequenceAt } from '../../flash/sequence';
import { softmaxStep } from '../../flash/softmax';
import { BLOCK_K, roundUpNR, SCORE_ROW } from '../../flash/tile';
import { CodeDecodeParams, CodedRows, Sequence } from '../../params';
import { sum4 } from '../../simd/reduce';
import { elementBytes, widenRow } from '../../simd/storage';
import { partialAt } from '../decode';
import { scoreF32, scoreF32x4 } from '../score';
import { mixF32, mixF32x4 } from '../value';
import { blockRun, codesAt, middleOf, scalesOffset, shiftOf, tokensOf, widenCodes } from './layout';
import { dotRow, foldQuery, keySums2, keySums4, ScoreTerms, sumWords } from './score';
import { foldWeights, mixSums2, mixSums4, MixTerms, scaleWeights } from './value';

/** Scratch of one thread. */
@unmanaged
class Tiles {
  /** Rows of q, s and acc: one, or a multiple of four. */
  rows: i32;
  dk4: i32;
  /** dv rounded up to whole units of codes. */
  dvRoom: i32;
  /** f32 [rows, dk4], scaled. */
  q: usize;
  /** i16 [rows, ceil8(dk)]: q as whole numbers; f32 [rows] their unit. */
  words: usize;
  units: usize;
  /** i32 [rows, groups]: sums of the whole numbers of each group of channels. */
  totals: usize;
  groups: i32;
  /** i16 and f32 [ceil8(dk)]: one row folded with the scales of a group of tokens. */
  folded: usize;
  product: usize;
  /** f32 [rows, 64] */
  s: usize;
  /** f32 [rows, dvRoom] */
  acc: usize;
  m: usize;
  l: usize;
  /** f32 [64]: sums of a block, weights times scales; i16 [64]: those as whole numbers. */
  sums: usize;
  weights: usize;
  scoreTerms: usize;
  mixTerms: usize;
  /** f32 [32]: ones. */
  ones: usize;
  /** f32 [64, max(dk4, dvRoom)]: rows that are widened. */
  tile: usize;
  end: usize;
}

const TILES_BYTES: usize = 112;

/** Whether rows are widened to f32 before they are used. */
// @ts-ignore: decorator
@inline
function widened(c: CodedRows): bool {
  return c.codebook != 0 || c.slots != 0;
}

function carve(p: CodeDecodeParams, at: usize): Tiles {
  const t = changetype<Tiles>(at);
  t.rows = p.rows == 1 ? 1 : (p.rows + 3) & ~3;
  t.dk4 = (p.dk + 3) & ~3;
  t.dvRoom = (p.dv + 31) & ~31;
  const rows = <usize>t.rows;
  const dk8 = <usize>((p.dk + 7) & ~7);
  t.q = at + TILES_BYTES;
  t.words = t.q + rows * ((<usize>t.dk4) << 2);
  t.units = t.words + rows * (dk8 << 1);
  const kRows = changetype<CodedRows>(p.kRows);
  t.groups = kRows.byChannel ? 0 : (p.dk + kRows.group - 1) / kRows.group;
  t.totals = t.units + ((rows * 4 + 15) & ~15);
  t.folded = t.totals + ((((rows * <usize>t.groups) << 2) + 15) & ~15);
  t.product = t.folded + (dk8 << 1);
  t.s = t.product + (dk8 << 2);
  t.acc = t.s + rows * SCORE_ROW;
  t.m = t.acc + rows * ((<usize>t.dvRoom) << 2);
  t.l = t.m + ((rows * 4 + 15) & ~15);
  t.sums = t.l + rows * 16;
  t.weights = t.sums + SCORE_ROW;
  t.scoreTerms = t.weights + SCORE_ROW / 2;
  t.mixTerms = t.scoreTerms + 32;
  t.ones = t.mixTerms + 16;
  t.tile = t.ones + 128;
  t.end = t.tile + ((<usize>(BLOCK_K * max(t.dk4, t.dvRoom))) << 2);
  return t;
}

/** Bytes of scratch that one thread of `codeDecode` needs; `scratch` has room for 128 bytes. */
export function codeDecodeScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<CodeDecodeParams>(params), scratch).end - scratch);
}

/** The query rows that share key/value head h, as floats and as whole numbers. */
function loadQueries(p: CodeDecodeParams, s: Sequence, t: Tiles, h: i32, rows: i32): void {
  const rowBytes = (<usize>t.dk4) << 2;
  const wordBytes = (<usize>((p.dk + 7) & ~7)) << 1;
  const bytes = elementBytes(p.qType);
  memory.fill(t.q, 0, <usize>t.rows * rowBytes);
  for (let r = 0; r < rows; ++r) {
    const i = r / p.group;
    const head = h * p.group + (r - i * p.group);
    const at = s.batch * p.qStrideB + (s.qStart + i) * p.qStrideT + head * p.qStrideH;
    const q = t.q + <usize>r * rowBytes;
    widenRow(p.q + <usize>at * bytes, p.qType, q, p.dk, scoreFactor(p));
    const unit = foldQuery(q, 0, t.product, t.words + <usize>r * wordBytes, p.dk);
    store<f32>(t.units + ((<usize>r) << 2), unit);
    const group = changetype<CodedRows>(p.kRows).group;
    for (let g = 0; g < t.groups; ++g) {
      const channels = min(group, p.dk - g * group);
      const words = t.words + <usize>r * wordBytes + ((<usize>(g * group)) << 1);
      store<i32>(t.totals + ((<usize>(r * t.groups + g)) << 2), sumWords(words, (channels + 7) & ~7));
    }
  }
}

/** Products of all rows with n rows of floats, into columns from `from` on. */
function scoreFloats(t: Tiles, rows: usize, stride: usize, n: i32, from: i32): void {
  const out = t.s + ((<usize>from) << 2);
  if (t.rows == 1) {
    scoreF32(t.q, rows, stride, out, n, t.dk4);
    return;
  }
  for (let r = 0; r < t.rows; r += 4) {
    scoreF32x4(t.q + ((<usize>(r * t.dk4)) << 2), rows, stride, out + <usize>r * SCORE_ROW, n, t.dk4);
  }
}

/** Adds n rows of floats, weighted by columns from `from` on, to all rows of the output. */
function mixFloats(t: Tiles, rows: usize, stride: usize, n: i32, from: i32): void {
  const weights = t.s + ((<usize>from) << 2);
  if (t.rows == 1) {
    mixF32(weights, rows, stride, t.acc, n, t.dvRoom);
    return;
  }
  const accBytes = (<usize>t.dvRoom) << 2;
  for (let r = 0; r < t.rows; r += 4) {
    mixF32x4(weights + <usize>r * SCORE_ROW, rows, stride, t.acc + <usize>r * accBytes, accBytes, n, t.dvRoom);
  }
}

/** Widens n coded rows from token j on into the tile, rows `rowBytes` apart and zero behind d. */
function widenTile(c: CodedRows, batch: i32, j: i32, n: i32, h: i32, tile: usize, rowBytes: usize): void {
  const tokens = tokensOf(c.bits);
  memory.fill(tile, 0, <usize>n * rowBytes);
  for (let i = 0; i < n; ++i) {
    widenCodes(c, batch, (j + i) / tokens, h, (j + i) % tokens, tile + <usize>i * rowBytes);
  }
}

/** Turns n keys from token j on by the angles of their places. */
function turnTile(p: CodeDecodeParams, j: i32, n: i32, tile: usize, rowBytes: usize): void {
  const half = p.rotated >> 1;
  for (let i = 0; i < n; ++i) {
    const row = tile + <usize>i * rowBytes;
    const angles = (<usize>((j + i) * half)) << 2;
    if (p.interleaved) rotatePairs(row, row, p.cos + angles, p.sin + angles, half);
    else rotateHalves(row, row, p.cos + angles, p.sin + angles, half);
  }
}

/** Scores of a block by one group of channels. */
// @ts-ignore: decorator
@inline
function keySums(bits: i32, codes: usize, q: usize, channels: i32, terms: ScoreTerms, out: usize): void {
  const pairs = ((channels + 3) & ~3) >> 1;
  if (bits == 4) keySums4(codes, q, pairs, terms, out);
  else keySums2(codes, q, pairs, terms, out);
}

/** What is taken off sums of codes for their middle, from the sum of the whole numbers that they are multiplied by. */
// @ts-ignore: decorator
@inline
function setMiddle(c: CodedRows, terms: ScoreTerms, total: i32): void {
  terms.low = -middleOf(c) * total;
  terms.top = terms.low + (total << (c.bits - 1));
}

/**
 * Scores of one row and n keys from token j on, j the first of a block, whose keys have scales for groups of channels. Whole blocks: what
 * lies past the n-th key is any number.
 */
function scoreByToken(p: CodeDecodeParams, c: CodedRows, s: Sequence, t: Tiles, h: i32, r: i32, j: i32, n: i32): void {
  const bits = c.bits;
  const tokens = tokensOf(bits);
  const shift = shiftOf(bits);
  const terms = changetype<ScoreTerms>(t.scoreTerms);
  const row = t.words + ((<usize>(r * ((p.dk + 7) & ~7))) << 1);
  terms.unit = load<f32>(t.units + ((<usize>r) << 2));
  terms.start = 0;
  const group = min(c.group, p.dk);
  let totals = t.totals + ((<usize>(r * t.groups)) << 2);
  for (let channel = 0; channel < p.dk; channel += group) {
    const channels = min(group, p.dk - channel);
    const words = row + ((<usize>channel) << 1);
    const total = load<i32>(totals);
    terms.total = terms.unit * <f32>total;
    setMiddle(c, terms, total);
    terms.fresh = channel == 0 ? 1 : 0;
    const skippedCodes = (<usize>channel) << 3;
    const skippedScales = (<usize>((totals - t.totals) >> 2) - <usize>(r * t.groups)) << (shift + 2);
    let out = t.s + <usize>r * SCORE_ROW;
    for (let from = 0; from < n; from += tokens) {
      const block = (j + from) >> shift;
      const scales = scalesOffset(c, s.batch, block, h) + skippedScales;
      terms.scale = c.scale + scales;
      terms.offset = c.offset ? c.offset + scales : 0;
      keySums(bits, codesAt(c, s.batch, block, h) + skippedCodes, words, channels, terms, out);
      out += (<usize>tokens) << 2;
    }
    totals += 4;
  }
}

/** As scoreByToken, for keys with scales of groups of tokens: they are folded into the query. */
function scoreByChannel(
  p: CodeDecodeParams,
  c: CodedRows,
  s: Sequence,
  t: Tiles,
  h: i32,
  r: i32,
  j: i32,
  n: i32,
): void {
  const bits = c.bits;
  const tokens = tokensOf(bits);
  const shift = shiftOf(bits);
  const terms = changetype<ScoreTerms>(t.scoreTerms);
  const q = t.q + ((<usize>(r * t.dk4)) << 2);
  terms.fresh = 1;
  terms.offset = 0;
  terms.scale = t.ones;
  let out = t.s + <usize>r * SCORE_ROW;
  let left = 0;
  for (let from = 0; from < n; from += tokens) {
    const block = (j + from) >> shift;
    if (left <= 0) {
      const scales = scalesOffset(c, s.batch, block, h);
      terms.unit = foldQuery(q, c.scale + scales, t.product, t.folded, p.dk);
      setMiddle(c, terms, sumWords(t.folded, (p.dk + 7) & ~7));
      terms.start = c.offset ? dotRow(q, c.offset + scales, p.dk) : 0;
      left = c.group - ((j + from) % c.group);
    }
    keySums(bits, codesAt(c, s.batch, block, h), t.folded, p.dk, terms, out);
    out += (<usize>tokens) << 2;
    left -= tokens;
  }
}

/** Adds n coded values from token j on, j the first of a block, weighted by row r's columns from 0 on. */
function mixCodes(p: CodeDecodeParams, c: CodedRows, s: Sequence, t: Tiles, h: i32, r: i32, j: i32, n: i32): void {
  const tokens = tokensOf(c.bits);
  const shift = shiftOf(c.bits);
  const terms = changetype<MixTerms>(t.mixTerms);
  const half = 1 << (c.bits - 1);
  const unitBytes = (<usize>tokens) << 3;
  for (let from = 0; from < n;) {
    const first = (j + from) >> shift;
    const blocks = blockRun(c, first, (n - from + tokens - 1) >> shift);
    const codes = codesAt(c, s.batch, first, h);
    const stride = <usize>c.codeStrideBlock;
    const p0 = t.s + <usize>r * SCORE_ROW + ((<usize>from) << 2);
    let group: usize = 0;
    for (let channel = 0; channel < p.dv; channel += c.group) {
      let offset: f32 = 0;
      for (let b = 0; b < blocks; ++b) {
        const scales = scalesOffset(c, s.batch, first + b, h) + group;
        const at = (<usize>(b * tokens)) << 2;
        const count = min(tokens, n - from - b * tokens);
        offset += scaleWeights(p0 + at, c.scale + scales, c.offset ? c.offset + scales : 0, t.sums + at, count, tokens);
      }
      terms.unit = foldWeights(t.sums, t.weights, blocks * tokens);
      terms.offset = offset;
      const total = sumWords(t.weights, blocks * tokens);
      terms.low = -middleOf(c) * total;
      terms.top = terms.low + half * total;
      const end = min(channel + c.group, p.dv);
      for (let u = channel; u < end; u += tokens) {
        const acc = t.acc + ((<usize>(r * t.dvRoom + u)) << 2);
        const at = codes + <usize>(u >> shift) * unitBytes;
        if (c.bits == 4) mixSums4(at, stride, blocks, t.weights, terms, acc);
        else mixSums2(at, stride, blocks, t.weights, terms, acc);
      }
      group += (<usize>tokens) << 2;
    }
    from += blocks * tokens;
  }
}

/** f32 rows behind the codes: n keys or values from their row `row` on, widened where d is no multiple of four. */
function restRows(base: usize, stride: i32, row: i32, n: i32, d: i32, t: Tiles, rowBytes: usize): usize {
  const at = base + ((<usize>row * <usize>stride) << 2);
  memory.fill(t.tile, 0, <usize>n * rowBytes);
  for (let i = 0; i < n; ++i) {
    memory.copy(t.tile + <usize>i * rowBytes, at + ((<usize>(i * stride)) << 2), (<usize>d) << 2);
  }
  return t.tile;
}

/** Keys [first, first + n) of one 64-key block. */
function attendKeys(
  p: CodeDecodeParams,
  s: Sequence,
  t: Tiles,
  h: i32,
  live: i32,
  first: i32,
  n: i32,
  coded: usize,
): void {
  const kRows = changetype<CodedRows>(p.kRows);
  const vRows = changetype<CodedRows>(p.vRows);
  const kCoded = load<i32>(coded);
  const vCoded = load<i32>(coded, 4);
  const kBytes = (<usize>t.dk4) << 2;
  const vBytes = (<usize>t.dvRoom) << 2;

  let codes = max(0, min(n, kCoded - first));
  if (codes > 0) {
    if (widened(kRows) || p.cos) {
      widenTile(kRows, s.batch, first, codes, h, t.tile, kBytes);
      if (p.cos) turnTile(p, first, codes, t.tile, kBytes);
      scoreFloats(t, t.tile, kBytes, codes, 0);
    } else {
      for (let r = 0; r < live; ++r) {
        if (kRows.byChannel) scoreByChannel(p, kRows, s, t, h, r, first, codes);
        else scoreByToken(p, kRows, s, t, h, r, first, codes);
      }
    }
  }
  if (codes < n) {
    const base = p.k + ((<usize>(s.batch * p.kStrideB + h * p.kStrideH)) << 2);
    const rows = restRows(base, p.kStrideT, first + codes - kCoded, n - codes, p.dk, t, kBytes);
    scoreFloats(t, rows, kBytes, n - codes, codes);
  }

  const padded = roundUpNR(n);
  const plain = plainScores(p);
  for (let r = 0; r < live; ++r) {
    const i = r / p.group;
    const row = t.s + <usize>r * SCORE_ROW;
    for (let j = n; j < padded; ++j) store<f32>(row + ((<usize>j) << 2), -Infinity);
    if (!plain || firstKey(p, s, i) > first || endKey(p, s, i) < first + n) {
      modifyRow(p, s, h * p.group + (r - i * p.group), i, first, row, padded, 0, ~0);
    }
  }
  softmaxStep(live, false, t.s, SCORE_ROW, padded, t.m, t.l, t.acc, vBytes, t.dvRoom >> 3, 32);

  codes = max(0, min(n, vCoded - first));
  if (codes > 0) {
    if (widened(vRows)) {
      widenTile(vRows, s.batch, first, codes, h, t.tile, vBytes);
      mixFloats(t, t.tile, vBytes, codes, 0);
    } else {
      for (let r = 0; r < live; ++r) mixCodes(p, vRows, s, t, h, r, first, codes);
    }
  }
  if (codes < n) {
    const base = p.v + ((<usize>(s.batch * p.vStrideB + h * p.vStrideH)) << 2);
    const rows = restRows(base, p.vStrideT, first + codes - vCoded, n - codes, p.dv, t, vBytes);
    mixFloats(t, rows, vBytes, n - codes, codes);
  }
}

/**
 * Attention of a few queries over one span of keys and values, the oldest of them codes and the newest floats, unnormalised; one softmax.
 *
 *   q             [B, Tq, H, dk]      f32, f16 or bf16
 *   kRows, vRows  codes of 4 or 2 bits, see layout.ts and CodedRows: x = offset + scale * code, a number for each token of a group of
 *                 channels or (keys) each channel of a group of tokens; or codebook[code] for the code, plus outliers
 *   k, v          f32 [B, rest, Hkv, d] rows of the tokens behind the coded ones
 *   partials      f32, see DecodeParams; must not alias an input
 *   other operands as in decode
 *
 * Products are exact sums of whole numbers: codes times the query, or times the weights, of 15 bits. Scales of a group of tokens are folded
 * into the query and those of a token into its weight before it is rounded. So a score is off by at most max |q scale| / 65534 times the sum
 * of its codes. KIVI (Liu 2024); KVQuant (Hooper 2024), whose keys are turned after they are widened.
 *
 * Item: one (sequence, split, key/value head). Scratch: codeDecodeScratchBytes.
 */
export function codeDecode(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<CodeDecodeParams>(params);
  const t = carve(p, scratch);
  const dv8 = roundUpNR(p.dv);
  for (let i: usize = 0; i < 128; i += 4) store<f32>(t.ones + i, 1);
  for (let item = begin; item < end; ++item) {
    const h = item % p.kvHeads;
    const split = (item / p.kvHeads) % p.splits;
    const sequence = item / (p.kvHeads * p.splits);
    const s = sequenceAt(p.sequences, sequence);
    const coded = p.coded + ((<usize>sequence) << 3);
    const live = s.qLength * p.group;
    if (live == 0) continue;
    loadQueries(p, s, t, h, live);
    memory.fill(t.acc, 0, (<usize>(t.rows * t.dvRoom)) << 2);
    memory.fill(t.l, 0, (<usize>t.rows) << 4);
    for (let r = 0; r < t.rows; ++r) store<f32>(t.m + ((<usize>r) << 2), -Infinity);

    const low = max(split * p.splitKeys, firstKey(p, s, 0)) & ~(BLOCK_K - 1);
    const high = min((split + 1) * p.splitKeys, endKey(p, s, s.qLength - 1));
    for (let first = low; first < high; first += BLOCK_K) {
      attendKeys(p, s, t, h, live, first, min(high - first, BLOCK_K), coded);
    }
    for (let r = 0; r < live; ++r) {
      const out = partialAt(p, sequence, h, split, r);
      memory.copy(out, t.acc + ((<usize>(r * t.dvRoom)) << 2), (<usize>dv8) << 2);
      store<f32>(out + ((<usize>dv8) << 2), load<f32>(t.m + ((<usize>r) << 2)));
      store<f32>(out + ((<usize>dv8) << 2), sum4(v128.load(t.l + ((<usize>r) << 4))), 4);
    }
  }
}
