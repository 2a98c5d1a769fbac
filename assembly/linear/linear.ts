import { MR, panels } from '../gemm/panel';
import { LinearParams } from '../params';
import { aimAhead } from './ahead';
import { fillRow, multiplyRow } from './decay';
import { foldBlock } from './fold';
import { openHead, openItem, outputRow } from './item';
import { fadesInPass, loadState, scaleColumns, storeKeySum, storeRow, storeState } from './state';
import { stepColumns, strip, writeStrip } from './strip';
import { openSweeps, sweepHead, sweeps } from './sweep';
import { touchBlock } from './touch';
import { BLOCK, carve, openWorkspace, PANEL, READ, selectHead, SWEEP_BLOCK, Workspace, WRITE } from './workspace';

/** Whether the last strips of a block may write its outputs where they belong: whole panels of existing tokens, no factors. */
function writesThrough(p: LinearParams, w: Workspace, step: i32, count: i32): bool {
  return !p.normalizer && !p.gv && !(w.width & 7) && !(count & 1) && step + count <= w.length;
}

/** The strips of a block: every column panel passes over all rows of its state. Outputs end in the panels, or at `o`. */
function runStrips(p: LinearParams, w: Workspace, count: i32, o: usize): void {
  const stateStep = (<usize>w.groups) << 7;
  const oStride = (<usize>p.oStrideT) << 2;
  const fading = fadesInPass(p, w);
  const pairs = (count + 1) & ~1;
  if (p.gv) scaleColumns(w, w.columnFactor);
  for (let c = 0; c < w.panels; ++c) {
    let state = w.state + <usize>c * stateStep;
    const v = w.v + <usize>c * PANEL;
    const panel = w.o + <usize>c * PANEL;
    let qk = w.qk;
    let factor = w.factor;
    // the first rows start the outputs, from their own values or from zero
    let from = w.owned ? panel : w.vZeros;
    let fromStep: usize = w.owned ? 64 : 0;
    for (let r = w.groups; r > 0; --r) {
      if (p.mode == WRITE) {
        writeStrip(state, factor, fading, qk, v, pairs);
      } else if (r == 1 && o) {
        strip(state, factor, fading, qk, v, from, fromStep, o + ((<usize>c) << 5), oStride, pairs);
      } else {
        strip(state, factor, fading, qk, v, from, fromStep, panel, 32, pairs);
      }
      from = panel;
      fromStep = 64;
      state += 128;
      factor += 16;
      qk += PANEL;
    }
  }
}

/** The first output row as zeros. */
function clearOutputs(w: Workspace): void {
  const zero = i32x4.splat(0);
  for (let c: usize = 0; c < <usize>w.panels * PANEL; c += PANEL) {
    v128.store(w.o + c, zero);
    v128.store(w.o + c, zero, 16);
  }
}

/** o = q S for a block of tokens and a state that stays. */
function readStrips(w: Workspace, count: i32): void {
  const rowBytes = (<usize>w.groups) << 4;
  const stateStep = (<usize>w.groups) << 7;
  for (let row = 0; row < count; row += MR) {
    panels(
      w.panels,
      w.qk + <usize>row * rowBytes,
      rowBytes,
      w.state,
      stateStep,
      w.o + ((<usize>row) << 5),
      PANEL,
      32,
      w.groups << 2,
      0,
    );
  }
}

/** Writes the outputs of tokens step .. step + count that exist. */
function writeOutputs(p: LinearParams, w: Workspace, step: i32, count: i32): void {
  for (let n = 0; n < count && step + n < w.length; ++n) {
    const factor = v128.load32_splat(w.scale + ((<usize>n) << 2));
    let to = outputRow(p, w, step + n);
    let from = w.o + ((<usize>n) << 5);
    let products = w.columnProducts + ((<usize>n) << 5);
    for (let left = w.width; left > 0; left -= 8) {
      let low = f32x4.mul(v128.load(from), factor);
      let high = f32x4.mul(v128.load(from, 16), factor);
      if (p.gv) {
        low = f32x4.mul(low, v128.load(products));
        high = f32x4.mul(high, v128.load(products, 16));
      }
      if (left >= 8) {
        v128.store(to, low);
        v128.store(to, high, 16);
      } else {
        v128.store(from, low);
        v128.store(from, high, 16);
        memory.copy(to, from, (<usize>left) << 2);
      }
      to += 32;
      from += PANEL;
      products += PANEL;
    }
  }
}

/** Takes the head in work from `step` to `end`. */
function passHead(p: LinearParams, w: Workspace, step: i32, end: i32): void {
  while (step < end) {
    const count = foldBlock(p, w, step, end);
    if (p.decayOut && p.gateKind) multiplyRow(w.total, w.factor, w.total, w.groups);
    const through = p.mode == (READ | WRITE) && writesThrough(p, w, step, count);
    if (p.mode & WRITE) runStrips(p, w, count, through ? outputRow(p, w, step) : 0);
    else readStrips(w, count);
    if (p.mode & READ && !through) writeOutputs(p, w, step, count);
    step += count;
  }
}

/** Folds the last block's decays into the state of the head in work, and writes it. */
function closeHead(p: LinearParams, w: Workspace): void {
  if (p.gv) scaleColumns(w, w.columnProduct);
  storeState(p, w);
  if (p.normalizer) storeKeySum(p, w);
  if (p.decayOut) {
    multiplyRow(w.total, w.product, w.total, w.groups);
    storeRow(p.decayOut, w.total, p, w);
  }
}

/**
 * Gated linear attention over whole sequences: S_t = diag(e^g_t) S_{t-1} diag(e^gv_t) + w_t k_t v_t, o_t = scale q_t S_t + own v_t.
 *
 *   q, k      any storage [B, T, H, K]    rows contiguous; k absent with `tied`: k = 1 - decay
 *   v         any storage [B, T, HV, V]   rows contiguous; value head h reads key head h / group
 *   o         f32 [B, T, HV, V]           rows contiguous; must not alias an input
 *   g         f32 [B, T, HG] or [B, T, HG, K]   natural logs, or decays with `gateLinear`
 *   gv        f32 [B, T, HV, V]           decays of the columns, likewise
 *   weight    f32 [B, T, HV]              factor on k
 *   bonus     f32 [H, K]                  u: own = sum q u k (its sigmoid with `bonusSigmoid`)
 *   skip      f32 [HV]                    added to own
 *   stateIn, stateOut  f32 [N, HV, K, V]  any strides; may be the same; stateIn absent: zeros
 *   zIn, zOut f32 [N, HV, K]              sums of keys, likewise
 *   decayOut  f32 [N, HV, K]              decay of the rows over all tokens; may be absent
 *
 * With `exclusive` o_t reads S_{t-1}. With a normalizer o_t is divided by q_t z_t in one of its forms. Yang 2023 (GLA), Katharopoulos 2020.
 * Instead of decaying the state at each token, rows are folded: within a block S' = S_0 + sum (k / P) v and o = (q P) S', P the product
 * of decays since the block's start, which ends before P leaves [2^-40, 2^40]. Item: one sequence, group of heads and group of columns. Scratch: linearScratchBytes.
 */
export function linear(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<LinearParams>(params);
  const w = openWorkspace(p, scratch);
  const swept = sweeps(p);
  for (let item = begin; item < end; ++item) {
    openItem(p, w, item);
    if (swept) openSweeps(p, w);
    for (let i = 0; i < w.headCount; ++i) {
      openHead(p, w, i);
      loadState(p, w);
    }
    // heads take turns, so that the rows of a token, which lie side by side, are read together
    const steps = w.length > 0 ? w.length + w.lag : 0;
    const block = swept ? SWEEP_BLOCK : BLOCK;
    for (let step = 0; step < steps; step += block) {
      if (!swept || aimAhead(p, w, step, block, p.group)) touchBlock(p, w, step, block);
      for (let i = 0; i < w.headCount; ++i) {
        selectHead(p, w, i);
        if (swept) sweepHead(p, w, step, min(step + block, steps));
        else passHead(p, w, step, min(step + block, steps));
      }
    }
    if (!(p.mode & WRITE)) continue;
    for (let i = 0; i < w.headCount; ++i) {
      selectHead(p, w, i);
      closeHead(p, w);
    }
  }
}

/**
 * One token of `linear` on a state that is updated where it lies: stateIn is stateOut, its columns contiguous. Operands as there with T = 1;
 * gates of columns are not known here. Item: one sequence, head and group of columns, whose number is a multiple of 8.
 */
export function linearStep(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<LinearParams>(params);
  const w = openWorkspace(p, scratch);
  const stride = (<usize>p.stateStrideK) << 2;
  // reading before writing is a matter of order within the step
  w.lag = 0;
  for (let item = begin; item < end; ++item) {
    openItem(p, w, item);
    for (let i = 0; i < w.headCount; ++i) {
      openHead(p, w, i);
      foldBlock(p, w, 0, 1);
      if (p.gateKind == 0) fillRow(w.factor, 1, w.groups);
      if (!w.owned) clearOutputs(w);
      const at = <usize>w.sequence * <usize>p.stateStrideN + <usize>w.head * <usize>p.stateStrideH + <usize>w.column;
      let state = p.stateOut + (at << 2);
      const rows = p.dk - ((w.groups - 1) << 2);
      for (let c = 0; c < w.panels; ++c) {
        const panel = <usize>c * PANEL;
        stepColumns(
          state,
          stride,
          w.factor,
          w.qk,
          w.qk + 16,
          PANEL,
          w.v + panel,
          w.o + panel,
          w.groups,
          rows,
          p.exclusive,
        );
        state += 32;
      }
      writeOutputs(p, w, 0, 1);
      if (p.normalizer) storeKeySum(p, w);
    }
  }
}

/** Bytes of scratch that `linear` and `linearStep` need. */
export function linearScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<LinearParams>(params), scratch).end - scratch);
}
