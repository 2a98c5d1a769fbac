import { aimAhead, openAhead, readAhead } from '../linear/ahead';
import { openHead, openItem } from '../linear/item';
import { valueRow } from '../linear/rows';
import { loadState, storeState, writeState } from '../linear/state';
import { touchRows } from '../linear/touch';
import { selectHead } from '../linear/workspace';
import { DeltaParams } from '../params';
import { foldPair, foldSingle, openBlock, openRows } from './fold';
import { copyOutput, copyWritten, outputAt } from './output';
import { closePair, openPair, sweepPair } from './pair';
import { openSingle, SINGLE_A, sweepSingle } from './single';
import { BLOCK, carve, DeltaScratch } from './workspace';

/** The one of the two records that is not `record`. */
// @ts-ignore: decorator
@inline
function otherRecord(w: DeltaScratch, record: usize): usize {
  return 2 * w.records + w.recordBytes - record;
}

/** Takes the tokens of a block in pairs, each folded just before; the panels of the state take turns, so that one's sums need not be waited for. */
function runPairs(p: DeltaParams, w: DeltaScratch, step: i32, count: i32): void {
  const rows = w.groups << 2;
  const stateStep = (<usize>w.groups) << 7;
  let record = w.records;
  let before = record;
  for (let n = 0; n < count; n += 2) {
    const token = step + n;
    const both = n + 1 < count;
    foldPair(p, w, step, n, count, record);
    let vA = valueRow(p, w, token, w.vRow);
    let vB = both ? valueRow(p, w, token + 1, w.vRow2) : w.vZeros;
    let oA = outputAt(p, w, token, 0);
    let oB = both ? outputAt(p, w, token + 1, 1) : w.oRows + ((<usize>w.panels) << 5);
    let state = w.state;
    let written = w.written;
    for (let c = w.panels; c > 0; --c) {
      if (c & 1 && w.aheadTokens) readAhead(w);
      if (n == 0) {
        openPair(state, w.factor, p.readsOld, record, w.rowBytes, rows, written, vA, vB, oA, oB);
      } else {
        sweepPair(state, before, record, w.rowBytes, rows, written, vA, vB, oA, oB);
      }
      state += stateStep;
      written += 64;
      vA += 32;
      vB += 32;
      oA += 32;
      oB += 32;
    }
    copyOutput(p, w, token, 0);
    copyWritten(p, w, token, 0);
    if (both) {
      copyOutput(p, w, token + 1, 1);
      copyWritten(p, w, token + 1, 1);
    }
    before = record;
    record = otherRecord(w, record);
  }
  let state = w.state;
  let written = w.written;
  for (let c = w.panels; c > 0; --c) {
    closePair(state, before, w.rowBytes, rows, written);
    state += stateStep;
    written += 64;
  }
}

/** Takes the tokens of a block one by one, each folded while the one before is still in use. */
function runSingles(p: DeltaParams, w: DeltaScratch, step: i32, count: i32): void {
  const rows = w.groups << 2;
  const stateStep = (<usize>w.groups) << 7;
  const a = SINGLE_A * w.rowBytes;
  let record = w.records;
  let state = w.state;
  let read = w.written;
  foldSingle(p, w, step, 0, record);
  for (let c = w.panels; c > 0; --c) {
    openSingle(state, w.factor, record + a, rows, read);
    state += stateStep;
    read += 64;
  }
  for (let n = 0; n < count; ++n) {
    const following = otherRecord(w, record);
    const more = n + 1 < count;
    if (more) foldSingle(p, w, step, n + 1, following);
    // the last reads for nobody
    const next = (more ? following : record) + a;
    let v = valueRow(p, w, step + n, w.vRow);
    let o = outputAt(p, w, step + n, 0);
    state = w.state;
    read = w.written;
    for (let c = w.panels; c > 0; --c) {
      sweepSingle(state, record, next, w.rowBytes, rows, read, v, o);
      state += stateStep;
      read += 64;
      v += 32;
      o += 32;
    }
    copyOutput(p, w, step + n, 0);
    record = following;
  }
}

/** Reads the rows of a block ahead, as `touchBlock` does; also of a single head, whose values would be waited for pair by pair. */
function touch(p: DeltaParams, w: DeltaScratch, step: i32): void {
  const count = min(BLOCK, w.length - step);
  let sum = touchRows(p.v, p.vStrideB, p.vStrideT, p.vStrideH, p.vType, w, step, count, 1, p.dv);
  sum += touchRows(p.k, p.kStrideB, p.kStrideT, p.kStrideH, p.kType, w, step, count, p.keyGroup, p.dk);
  if (p.q && p.substeps <= 1) {
    sum += touchRows(p.q, p.qStrideB, p.qStrideT, p.qStrideH, p.qType, w, step, count, p.group, p.dk);
  }
  w.touched = sum;
}

/** Writes the state after `token` tokens to its place among the snapshots. */
function storeSnapshot(p: DeltaParams, w: DeltaScratch, token: i32): void {
  const index = token / p.snapshotEvery - 1;
  const matrix = ((w.sequence * p.snapshotCount + index) * p.heads + w.head) * p.dk;
  writeState(p, w, p.snapshots + ((<usize>matrix * <usize>p.dv + <usize>w.column) << 2), p.dv, 1);
}

/** Takes the head in work from `step` to `end`. */
function passHead(p: DeltaParams, w: DeltaScratch, step: i32, end: i32): void {
  while (step < end) {
    let most = end - step;
    if (p.snapshots) most = min(most, p.snapshotEvery - (step % p.snapshotEvery));
    const count = openBlock(p, w, step, most);
    if (p.b) runSingles(p, w, step, count);
    else runPairs(p, w, step, count);
    step += count;
    if (p.snapshots && step % p.snapshotEvery == 0) storeSnapshot(p, w, step);
  }
}

/**
 * The delta rule and its kin over whole sequences, S [K, V]:
 *
 *   S_t = diag(e^g_t) S_{t-1} + k_t beta_t (v_t - a_t S)          S the decayed state, or S_{t-1} with `readsOld`
 *   S_t = diag(e^g_t) S_{t-1} + b_t (a_t S_{t-1}) + k_t v_t       where b is there
 *   o_t = scale q_t S_t
 *
 *   q, k, a, b  any storage [B, T, H, K]   rows contiguous; each has its own number of heads; a absent: k
 *   v           any storage [B, T, HV, V]  rows contiguous
 *   o           f32 [B, T, HV, V]          rows contiguous; must not alias an input
 *   g           f32 [B, T, HG] or [B, T, HG, K]   natural logs
 *   weight      f32 [B, T, HV] contiguous  beta
 *   written     f32 [B, T, HV, V]          rows contiguous: beta (v - a S); may be absent
 *   stateIn, stateOut  f32 [N, HV, K, V]   any strides; may be the same; stateIn absent: zeros
 *   snapshots   f32 [N, C, HV, K, V]       contiguous: the state after every `snapshotEvery` tokens
 *
 * With `normalized` q, k and an absent a are divided by sqrt(sum x^2 + normEpsilon). With `substeps` n, q and o have a row for the last of
 * n tokens and g one for the first. DeltaNet (Yang 2024), Gated DeltaNet (Yang 2024), KDA (Kimi 2025), DPLR (RWKV-7, Peng 2025).
 *
 * Rows are folded by their decays as in `linear`; within a block two tokens pass over the state together, their products with each other
 * done apart. Item: one sequence, group of heads and group of columns. Scratch: deltaScratchBytes.
 */
export function delta(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DeltaParams>(params);
  const w = carve(p, scratch);
  const ahead = p.q && p.substeps <= 1 && !p.b;
  w.aheadTokens = 0;
  for (let item = begin; item < end; ++item) {
    openItem(p, w, item);
    openRows(p, w);
    if (ahead) openAhead(p, w, 2, p.keyGroup);
    for (let i = 0; i < w.headCount; ++i) {
      openHead(p, w, i);
      loadState(p, w);
    }
    for (let step = 0; step < w.length; step += BLOCK) {
      if (!ahead || aimAhead(p, w, step, BLOCK, p.keyGroup)) touch(p, w, step);
      for (let i = 0; i < w.headCount; ++i) {
        selectHead(p, w, i);
        passHead(p, w, step, min(step + BLOCK, w.length));
      }
    }
    for (let i = 0; i < w.headCount; ++i) {
      selectHead(p, w, i);
      storeState(p, w);
    }
  }
}

/** Bytes of scratch that `delta` needs. */
export function deltaScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<DeltaParams>(params), scratch).end - scratch);
}
