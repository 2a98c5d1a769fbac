import { LinearParams } from '../params';
import { elementBytes } from '../simd/storage';
import { rowAt } from './rows';
import { ItemScratch } from './workspace';

const LINE: i32 = 64;

/** Bytes from the first to the last of the item's rows of a token in an operand of `heads` rows, 0 where they lie far apart. */
// @ts-ignore: decorator
@inline
function spanBytes(heads: i32, strideH: i32, width: i32, bytes: usize): i32 {
  return strideH <= 4 * width ? ((heads - 1) * strideH + width) * <i32>bytes : 0;
}

/** Bytes of a span for each of the lines of the largest. */
// @ts-ignore: decorator
@inline
function lineStep(span: i32, lines: i32): i32 {
  return (span + lines - 1) / lines;
}

/** Rows that the item's heads share in groups. */
// @ts-ignore: decorator
@inline
function rowsOf(w: ItemScratch, group: i32): i32 {
  return (w.firstHead + w.headCount - 1) / group - w.firstHead / group + 1;
}

/**
 * Prepares the reading ahead of an item whose passes take `tokens` each: how far the rows of a token reach in each operand, and how many
 * lines go with a panel. Key rows are shared by groups of `keyGroup` heads.
 */
export function openAhead(p: LinearParams, w: ItemScratch, tokens: i32, keyGroup: i32): void {
  w.qSpan = spanBytes(rowsOf(w, p.group), p.qStrideH, p.dk, elementBytes(p.qType));
  w.kSpan = spanBytes(rowsOf(w, keyGroup), p.kStrideH, p.dk, elementBytes(p.kType));
  w.vSpan = spanBytes(w.headCount, p.vStrideH, w.width, elementBytes(p.vType));
  w.oSpan = spanBytes(w.headCount, p.oStrideH, w.width, 4);
  // rows of one head follow each other at even steps, which memory foresees
  w.span =
    w.headCount > 1 && w.qSpan && w.kSpan && w.vSpan && w.oSpan ? max(max(w.qSpan, w.kSpan), max(w.vSpan, w.oSpan)) : 0;
  w.span = (w.span + LINE - 1) / LINE;
  if (!w.span) return;
  w.qSpan = lineStep(w.qSpan, w.span);
  w.kSpan = lineStep(w.kSpan, w.span);
  w.vSpan = lineStep(w.vSpan, w.span);
  w.oSpan = lineStep(w.oSpan, w.span);
  w.qGap = p.qStrideT * <i32>elementBytes(p.qType) - w.span * w.qSpan;
  w.kGap = p.kStrideT * <i32>elementBytes(p.kType) - w.span * w.kSpan;
  w.vGap = p.vStrideT * <i32>elementBytes(p.vType) - w.span * w.vSpan;
  w.oGap = (p.oStrideT << 2) - w.span * w.oSpan;
  // the passes over a block read as many tokens as they take
  w.aheadStep = 2 * tokens * w.span;
  w.aheadPanels = w.headCount * w.panels;
}

/**
 * Aims at the block of tokens behind the one that begins at `step`. Whether that one is still to be read: it is the item's first, or its rows
 * do not suit reading ahead.
 */
export function aimAhead(p: LinearParams, w: ItemScratch, step: i32, block: i32, keyGroup: i32): bool {
  const next = step + block;
  w.aheadTokens = w.span ? max(0, min(block, w.length - next)) : 0;
  if (!w.span) return true;
  const token = w.start + next;
  const qHead = w.firstHead / p.group;
  const kHead = w.firstHead / keyGroup;
  const vBytes = elementBytes(p.vType);
  w.qAhead = rowAt(p.q, p.qStrideB, p.qStrideT, p.qStrideH, elementBytes(p.qType), w.batch, token, qHead);
  w.kAhead = rowAt(p.k, p.kStrideB, p.kStrideT, p.kStrideH, elementBytes(p.kType), w.batch, token, kHead);
  w.vAhead = rowAt(p.v, p.vStrideB, p.vStrideT, p.vStrideH, vBytes, w.batch, token, w.firstHead);
  w.vAhead += <usize>w.column * vBytes;
  w.oAhead = rowAt(p.o, p.oStrideB, p.oStrideT, p.oStrideH, 4, w.batch, token, w.firstHead) + ((<usize>w.column) << 2);
  w.aheadAt = 0;
  w.aheadDue = 0;
  return step == 0;
}

/** Loads a byte of the lines that go with two panels, in the order of memory: memory works while the next panels are computed. */
export function readAhead(w: ItemScratch): void {
  let due = w.aheadDue + w.aheadStep;
  if (due < w.aheadPanels) {
    w.aheadDue = due;
    return;
  }
  let line = w.aheadAt;
  let q = w.qAhead;
  let k = w.kAhead;
  let v = w.vAhead;
  let o = w.oAhead;
  let sum = 0;
  do {
    sum += <i32>load<u8>(q) + <i32>load<u8>(k) + <i32>load<u8>(v) + <i32>load<u8>(o);
    q += w.qSpan;
    k += w.kSpan;
    v += w.vSpan;
    o += w.oSpan;
    due -= w.aheadPanels;
    if (++line < w.span) continue;
    line = 0;
    q += w.qGap;
    k += w.kGap;
    v += w.vGap;
    o += w.oGap;
    if (--w.aheadTokens == 0) break;
  } while (due >= w.aheadPanels);
  w.qAhead = q;
  w.kAhead = k;
  w.vAhead = v;
  w.oAhead = o;
  w.aheadAt = line;
  w.aheadDue = due;
  w.touched += sum;
}
