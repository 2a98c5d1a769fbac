import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { LinearParams } from '../params';
import { F32, widenRow } from '../simd/storage';
import { fillRow } from './decay';
import { loadKeySum } from './state';
import { ItemScratch, selectHead } from './workspace';

/** Rows of the state that a strip keeps in registers. */
export const STRIP_ROWS: i32 = 4;

/** Prepares the scratch for an item: one sequence, group of heads and group of columns. */
export function openItem(p: LinearParams, w: ItemScratch, item: i32): void {
  const columnGroups = (p.dv + p.blockV - 1) / p.blockV;
  let within: i32;
  if (p.sequences) {
    w.sequence = sequenceOfItem(p.sequences, p.sequenceCount, item);
    const sequence = sequenceAt(p.sequences, w.sequence);
    w.batch = sequence.batch;
    w.start = sequence.qStart;
    w.length = sequence.qLength;
    within = item - sequence.firstItem;
  } else {
    const items = ((p.heads + p.blockH - 1) / p.blockH) * columnGroups;
    w.sequence = item / items;
    w.batch = w.sequence;
    w.start = 0;
    w.length = p.length;
    within = item - w.sequence * items;
  }
  const headGroup = within / columnGroups;
  w.firstHead = headGroup * p.blockH;
  w.headCount = min(p.blockH, p.heads - w.firstHead);
  w.column = (within - headGroup * columnGroups) * p.blockV;
  w.width = min(p.blockV, p.dv - w.column);
  w.panels = (w.width + 7) >> 3;
  w.groups = (p.dk + STRIP_ROWS - 1) / STRIP_ROWS;
  fillRow(w.zeros, 0, w.groups);
  fillRow(w.qRow, 0, w.groups);
  fillRow(w.qRow2, 0, w.groups);
  fillRow(w.kRow, 0, w.groups);
  fillRow(w.kRow2, 0, w.groups);
  // a padded row neither decays nor holds anything
  fillRow(w.gRow, p.gateLinear ? 1 : 0, w.groups);
  fillRow(w.columnGate, p.gateLinear ? 1 : 0, w.panels << 1);
  fillRow(w.vRow, 0, w.panels << 1);
  fillRow(w.vRow2, 0, w.panels << 1);
  fillRow(w.vZeros, 0, max(w.panels << 1, 4));
}

/** Prepares the record of head i; its state is loaded apart. */
export function openHead(p: LinearParams, w: ItemScratch, i: i32): void {
  selectHead(p, w, i);
  // an initial state may hold denormals
  store<f32>(w.faded, p.stateIn ? 0 : 1);
  fillRow(w.product, 1, w.groups);
  fillRow(w.total, 1, w.groups);
  fillRow(w.columnProduct, 1, w.panels << 1);
  fillRow(w.uRow, p.bonus ? 0 : 1, w.groups);
  if (p.bonus) widenRow(p.bonus + ((<usize>(w.keyHead * p.bonusStrideH)) << 2), F32, w.uRow, p.dk, 1);
  if (p.normalizer) loadKeySum(p, w);
}

/** Address of the item's columns of a token's output. */
// @ts-ignore: decorator
@inline
export function outputRow(p: LinearParams, w: ItemScratch, token: i32): usize {
  const element =
    <usize>w.batch * <usize>p.oStrideB +
    <usize>(w.start + token) * <usize>p.oStrideT +
    <usize>w.head * <usize>p.oStrideH +
    <usize>w.column;
  return p.o + (element << 2);
}
