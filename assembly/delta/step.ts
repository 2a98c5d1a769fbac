import { openHead, openItem } from '../linear/item';
import { valueRow } from '../linear/rows';
import { stepColumns } from '../linear/strip';
import { DeltaParams } from '../params';
import { fma } from '../simd/fma';
import { foldPair, foldSingle, openBlock, openRows, timesRow } from './fold';
import { outputAt } from './output';
import { SINGLE_A, SINGLE_B, SINGLE_K, SINGLE_Q } from './single';
import { carve } from './workspace';

/** Rows of a folded pair of tokens: k, a and q of the first. */
const PAIR_K: usize = 0;
const PAIR_A: usize = 2;
const PAIR_Q: usize = 4;

/** r = beta (v - a S) on eight columns of a state whose rows are `stride` bytes apart; a S itself where v is absent. */
function readColumns(state: usize, stride: usize, a: usize, rows: i32, beta: f32, v: usize, r: usize): void {
  let even0 = i32x4.splat(0);
  let even1 = even0;
  let odd0 = even0;
  let odd1 = even0;
  for (; rows > 1; rows -= 2) {
    let x = v128.load32_splat(a);
    even0 = fma(x, v128.load(state), even0);
    even1 = fma(x, v128.load(state, 16), even1);
    x = v128.load32_splat(a, 4);
    odd0 = fma(x, v128.load(state + stride), odd0);
    odd1 = fma(x, v128.load(state + stride, 16), odd1);
    state += stride << 1;
    a += 8;
  }
  if (rows) {
    const x = v128.load32_splat(a);
    even0 = fma(x, v128.load(state), even0);
    even1 = fma(x, v128.load(state, 16), even1);
  }
  let sum0 = f32x4.add(even0, odd0);
  let sum1 = f32x4.add(even1, odd1);
  if (v) {
    const b = f32x4.splat(beta);
    sum0 = f32x4.mul(b, f32x4.sub(v128.load(v), sum0));
    sum1 = f32x4.mul(b, f32x4.sub(v128.load(v, 16), sum1));
  }
  v128.store(r, sum0);
  v128.store(r, sum1, 16);
}

/**
 * One token of `delta` on a state that is updated where it lies: stateIn is stateOut, its columns contiguous. Operands as there with T = 1,
 * without `written` and `snapshots`. Item: one sequence, group of heads and group of columns, whose number is a multiple of 8.
 */
export function deltaStep(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DeltaParams>(params);
  const w = carve(p, scratch);
  const stride = (<usize>p.stateStrideK) << 2;
  const k = w.records + (p.b ? SINGLE_K : PAIR_K) * w.rowBytes;
  const a = w.records + (p.b ? SINGLE_A : PAIR_A) * w.rowBytes;
  const q = w.records + (p.b ? SINGLE_Q : PAIR_Q) * w.rowBytes;
  const b = w.records + SINGLE_B * w.rowBytes;
  const zero = i32x4.splat(0);
  for (let item = begin; item < end; ++item) {
    openItem(p, w, item);
    openRows(p, w);
    for (let i = 0; i < w.headCount; ++i) {
      openHead(p, w, i);
      openBlock(p, w, 0, 1);
      if (p.b) foldSingle(p, w, 0, 0, w.records);
      else foldPair(p, w, 0, 0, 1, w.records);
      // the state has not decayed yet
      if (!p.readsOld) timesRow(w.factor, a, w.groups);
      const beta = load<f32>(w.records + w.recordBytes - 32);
      const at = <usize>w.sequence * <usize>p.stateStrideN + <usize>w.head * <usize>p.stateStrideH + <usize>w.column;
      let state = p.stateOut + (at << 2);
      let v = valueRow(p, w, 0, w.vRow);
      let o = outputAt(p, w, 0, 0);
      const rows = p.dk - ((w.groups - 1) << 2);
      for (let c = w.panels; c > 0; --c) {
        v128.store(o, zero);
        v128.store(o, zero, 16);
        readColumns(state, stride, a, p.dk, beta, p.b ? 0 : v, w.written);
        if (p.b) {
          stepColumns(state, stride, w.factor, w.zeros, b, 16, w.written, o, w.groups, rows, 0);
          stepColumns(state, stride, w.ones, q, k, 16, v, o, w.groups, rows, 0);
        } else {
          stepColumns(state, stride, w.factor, q, k, 16, w.written, o, w.groups, rows, 0);
        }
        state += 32;
        v += 32;
        o += 32;
      }
    }
  }
}
