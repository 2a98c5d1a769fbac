import { LinearParams } from '../params';
import { elementBytes } from '../simd/storage';
import { rowAt } from './rows';
import { touchBlock } from './touch';
import { SWEEP_BLOCK, Workspace } from './workspace';

const LINE: i32 = 64;
/** Tokens of a pass. */
const TOKENS: i32 = 3;

/** Bytes from the first to the last of the item's rows of a token in an operand of `heads` rows, 0 where they lie far apart. */
// @ts-ignore: decorator
@inline
function spanBytes(heads: i32, strideH: i32, width: i32, bytes: usize): i32 {
  return strideH <= 4 * width ? ((heads - 1) * strideH + width) * <i32>bytes : 0;
}

/** Prepares the reading ahead of an item: how many bytes a token has in each operand, and how many lines go with a panel. */
export function openAhead(p: LinearParams, w: Workspace): void {
  const keyHeads = (w.firstHead + w.headCount - 1) / p.group - w.firstHead / p.group + 1;
  w.qSpan = spanBytes(keyHeads, p.qStrideH, p.dk, elementBytes(p.qType));
  w.kSpan = spanBytes(keyHeads, p.kStrideH, p.dk, elementBytes(p.kType));
  w.vSpan = spanBytes(w.headCount, p.vStrideH, w.width, elementBytes(p.vType));
  w.oSpan = spanBytes(w.headCount, p.oStrideH, w.width, 4);
  // rows of one head follow each other at even steps, which memory foresees
  w.span =
    w.headCount > 1 && w.qSpan && w.kSpan && w.vSpan && w.oSpan ? max(max(w.qSpan, w.kSpan), max(w.vSpan, w.oSpan)) : 0;
  // the passes over a block read as many tokens as they take
  w.aheadStep = TOKENS * w.span;
  w.aheadPanels = w.headCount * w.panels * LINE;
}

/** Aims at the block of tokens behind the one that begins at `step`, which is the first to be read if the item begins with it. */
export function aimAhead(p: LinearParams, w: Workspace, step: i32): void {
  if (step == 0 || !w.span) touchBlock(p, w, step, SWEEP_BLOCK);
  const next = step + SWEEP_BLOCK;
  w.aheadTokens = w.span ? max(0, min(SWEEP_BLOCK, w.length - next)) : 0;
  if (!w.aheadTokens) return;
  const keyHead = w.firstHead / p.group;
  const token = w.start + next;
  const vBytes = elementBytes(p.vType);
  w.qAhead = rowAt(p.q, p.qStrideB, p.qStrideT, p.qStrideH, elementBytes(p.qType), w.batch, token, keyHead);
  w.kAhead = rowAt(p.k, p.kStrideB, p.kStrideT, p.kStrideH, elementBytes(p.kType), w.batch, token, keyHead);
  w.vAhead = rowAt(p.v, p.vStrideB, p.vStrideT, p.vStrideH, vBytes, w.batch, token, w.firstHead);
  w.vAhead += <usize>w.column * vBytes;
  w.oAhead = rowAt(p.o, p.oStrideB, p.oStrideT, p.oStrideH, 4, w.batch, token, w.firstHead) + ((<usize>w.column) << 2);
  w.aheadAt = 0;
  w.aheadDue = 0;
}

/** Loads a byte of the lines that go with a panel, in the order of memory: memory works while the next panel is computed. */
export function readAhead(p: LinearParams, w: Workspace): void {
  let due = w.aheadDue + w.aheadStep;
  let at = w.aheadAt;
  let sum = w.touched;
  for (; due >= w.aheadPanels && w.aheadTokens > 0; due -= w.aheadPanels) {
    sum += <i32>load<u8>(w.qAhead + <usize>min(at, w.qSpan - 1));
    sum += <i32>load<u8>(w.kAhead + <usize>min(at, w.kSpan - 1));
    sum += <i32>load<u8>(w.vAhead + <usize>min(at, w.vSpan - 1));
    sum += <i32>load<u8>(w.oAhead + <usize>min(at, w.oSpan - 1));
    at += LINE;
    if (at < w.span) continue;
    at = 0;
    --w.aheadTokens;
    w.qAhead += <usize>p.qStrideT * elementBytes(p.qType);
    w.kAhead += <usize>p.kStrideT * elementBytes(p.kType);
    w.vAhead += <usize>p.vStrideT * elementBytes(p.vType);
    w.oAhead += (<usize>p.oStrideT) << 2;
  }
  w.aheadDue = due;
  w.aheadAt = at;
  w.touched = sum;
}
