import { attendBlock } from '../flash/attend';
import { finishBlock, flashScratchBytes } from '../flash/flash';
import { loadKeyBias } from '../flash/rows';
import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, rowGroups } from '../flash/tile';
import { carve, measureQueries, openBlock, Tiles } from '../flash/tiles';
import { MR, panels } from '../gemm/panel';
import { PathParams, Sequence } from '../params';
import { FOLDED_FLUSH } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { spanIndex } from './path-blocks';

/** Queries times a transition, in place: they are carried to the start of its block or span. */
function carryQueries(p: PathParams, t: Tiles, rows: i32, carry: usize, tile: usize): void {
  const dk = p.dk;
  const rowBytes = (<usize>dk) << 2;
  const strips = roundUpNR(dk) >> 3;
  const wide = (<usize>strips) << 5;
  const least = v128.load(FOLDED_FLUSH);
  for (let g = 0; g < rowGroups(rows); ++g) {
    const q = t.q + <usize>(g * MR) * rowBytes;
    panels(strips, q, rowBytes, carry, rowBytes << 3, tile, 32, wide, dk, 0);
    for (let r: usize = 0; r < <usize>MR; ++r) {
      const row = tile + r * wide;
      // transitions that shrink a query again and again would make it denormal, which is slow
      for (let c: usize = 0; c < wide; c += 16) v128.store(row + c, flushedBelow(v128.load(row + c), least));
      memory.copy(q + r * rowBytes, row, rowBytes);
    }
  }
  measureQueries(p, t, rows);
}

/** Bytes of scratch that one thread of `path` needs; `scratch` has room for 128 bytes. */
export function pathScratchBytes(params: usize, scratch: usize): i32 {
  const p = changetype<PathParams>(params);
  return flashScratchBytes(params, scratch) + MR * roundUpNR(p.dk) * 4;
}

/** Keys [first, end) of blocks that lie at `keys` against the query block. */
function attendBlocks(
  p: PathParams,
  s: Sequence,
  t: Tiles,
  h: i32,
  q0: i32,
  rows: i32,
  first: i32,
  end: i32,
  keys: usize,
): void {
  const values = <usize>(roundUpNR(p.dv) >> 3) * <usize>(BLOCK_K * 32);
  for (let block = first; block < end; ++block) {
    const packed = <usize>((h / p.group) * p.blocks + s.packBlock + block);
    if (p.keyBias) loadKeyBias(p, s, h, block, t.keyBias);
    t.keys = keys + packed * <usize>(BLOCK_K * p.dk * 4);
    t.values = p.vPack + packed * values;
    attendBlock(p, s, t, h, q0, rows, block);
  }
}

/**
 * Causal softmax attention whose scores are q_i H_i H_{i-1} ... H_{j+1} k_j, H_t = I - beta_t w_t^T w_t.
 *
 *   qCarried, local, kBlock, kPack, carryBlock, carrySpan   as pathBlocks writes them, kPack being kSpan
 *   vPack    as flashPack writes it
 *   keyBias  f64 [B, T, Hq]   added to a key's scores
 *   o        f32 [B, T, Hq, dv]; aliases nothing
 *
 * A block of queries starts with scores within its own block and is carried from right to left: over the blocks of its
 * own span, then over whole spans, whose keys wait at their ends, so that a carry serves all keys of a span. PaTH
 * attention (Yang 2025).
 *
 * Item: one (sequence, query head, block of 64 queries), late blocks first. Scratch: pathScratchBytes.
 */
export function path(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<PathParams>(params);
  const t = carve(p, scratch);
  const tile = t.end;
  const dk = p.dk;
  const queryBytes = <usize>(BLOCK_K * dk * 4);
  const carryBytes = (<usize>((roundUpNR(dk) >> 3) * dk)) << 5;
  t.keyNorm = Infinity;
  for (let item = begin; item < end; ++item) {
    const index = sequenceOfItem(p.sequences, p.sequenceCount, item);
    const s = sequenceAt(p.sequences, index);
    const local = item - s.firstItem;
    const blocks = (s.qLength + BLOCK_K - 1) >> BLOCK_K_SHIFT;
    const h = local / blocks;
    const own = blocks - 1 - (local - h * blocks);
    const q0 = own << BLOCK_K_SHIFT;
    const rows = min(BLOCK_K, s.qLength - q0);
    const kvHead = h / p.group;
    const place = <usize>(h * p.blocks + s.packBlock + own);

    memory.copy(t.q, p.qCarried + place * queryBytes, <usize>(rows * dk * 4));
    memory.fill(t.q + <usize>(rows * dk * 4), 0, <usize>((rowGroups(rows) * MR - rows) * dk * 4));
    openBlock(p, t, rows);
    t.given = p.local + place * <usize>(BLOCK_K * BLOCK_K * 4);
    attendBlocks(p, s, t, h, q0, rows, own, own + 1, p.kBlock);
    t.given = 0;
    let span = own / p.spanBlocks;
    const firstBlock = span * p.spanBlocks;
    const carries = p.carryBlock + <usize>(kvHead * p.blocks + s.packBlock) * carryBytes;
    for (let block = own - 1; block >= firstBlock; --block) {
      attendBlocks(p, s, t, h, q0, rows, block, block + 1, p.kBlock);
      if (block > 0) carryQueries(p, t, rows, carries + <usize>block * carryBytes, tile);
    }
    const spanCarries = p.carrySpan + <usize>(kvHead * p.spans + spanIndex(p.spanBlocks, s, index)) * carryBytes;
    for (--span; span >= 0; --span) {
      attendBlocks(p, s, t, h, q0, rows, span * p.spanBlocks, (span + 1) * p.spanBlocks, p.kPack);
      if (span > 0) carryQueries(p, t, rows, spanCarries + <usize>span * carryBytes, tile);
    }
    finishBlock(p, s, t, h, q0, rows);
  }
}
