import { LinearParams } from '../params';
import { F32 } from '../simd/storage';
import {
  advanceRow,
  complementOfLogRow,
  complementRow,
  copyRow,
  decayOf,
  decayRow,
  fillRow,
  foldable,
  multiplyRow,
} from './decay';
import { paddedRow, rowAt } from './rows';
import { ItemScratch } from './workspace';

/** Address of the gates before a token, 0 where there are none. */
// @ts-ignore: decorator
@inline
function gateAt(p: LinearParams, w: ItemScratch, token: i32): usize {
  if (token < 0) return 0;
  let row = w.start + token;
  if (p.gateEvery > 1) {
    const gate = row / p.gateEvery;
    if (gate * p.gateEvery != row) return 0;
    row = gate;
  }
  return rowAt(p.g, p.gStrideB, p.gStrideT, p.gStrideH, 4, w.batch, row, w.gateHead);
}

/**
 * Tokens whose scalar decays, from `token` on, may be folded together, at most `most`. The state decays to the first of them (w.opens), or
 * with `carry` stays as it is while the decays since it last did can be folded too.
 */
export function scalarDecays(p: LinearParams, w: ItemScratch, token: i32, most: i32, carry: bool): i32 {
  let product: f32 = 1;
  let n = 0;
  for (; n < most; ++n) {
    const gate = gateAt(p, w, token + n);
    let decay: f32 = 1;
    if (gate) decay = p.gateLinear ? load<f32>(gate) : decayOf(load<f32>(gate));
    if (n == 0) {
      const next = load<f32>(w.product) * decay;
      w.opens = carry && load<f32>(w.faded) > 0 && foldable(next, false) ? 0 : 1;
      if (w.opens) fillRow(w.factor, next, w.groups);
      else product = next;
    } else {
      const next = product * decay;
      if (!foldable(next, p.gv != 0)) break;
      product = next;
    }
    store<f32>(w.products + ((<usize>n) << 2), product);
  }
  fillRow(w.product, product, w.groups);
  return n;
}

/** As `scalarDecays` for a gate a row. */
export function rowDecays(p: LinearParams, w: ItemScratch, token: i32, most: i32, carry: bool): i32 {
  const rowBytes = (<usize>w.groups) << 4;
  const padded = (p.dk & 3) == 0;
  let product = w.products;
  let n = 0;
  for (; n < most; ++n) {
    let decay = w.decay;
    let gates = gateAt(p, w, token + n);
    if (!gates) {
      fillRow(decay, 1, w.groups);
    } else {
      gates = paddedRow(gates, F32, p.dk, padded, w.gRow);
      if (p.gateLinear) decay = gates;
      else decayRow(gates, decay, w.groups);
    }
    if (n == 0) {
      w.opens = carry && load<f32>(w.faded) > 0 && advanceRow(w.product, decay, product, w.groups, false) ? 0 : 1;
      if (w.opens) {
        multiplyRow(w.product, decay, w.factor, w.groups);
        fillRow(product, 1, w.groups);
      }
    } else {
      if (!advanceRow(product, decay, product + rowBytes, w.groups, p.gv != 0)) break;
      product += rowBytes;
    }
    if (p.tied) {
      const key = w.tiedKeys + <usize>n * rowBytes;
      if (p.gateLinear || !gates) complementRow(decay, key, w.groups);
      else complementOfLogRow(gates, decay, key, w.groups);
    }
  }
  copyRow(product, w.product, w.groups);
  return n;
}
