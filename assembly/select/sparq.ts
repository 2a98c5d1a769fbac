import { ChannelScoreParams, SparqBlendParams, SparqQueryParams } from '../params';
import { fma } from '../simd/fma';
import { elementBytes, widenRow } from '../simd/storage';
import { mapRow, visibleColumns } from './visible';

/** What stands for a magnitude that was taken. */
const TAKEN: f32 = -1;

/** Marks the r largest of n magnitudes, the first of equals; those that are no numbers come last. */
function markLargest(x: usize, n: i32, r: i32): void {
  const end = x + ((<usize>n) << 2);
  for (; r > 0; --r) {
    let best: usize = 0;
    let most: f32 = TAKEN;
    for (let at = x; at < end; at += 4) {
      const value = load<f32>(at);
      if (value > most || (best == 0 && value != TAKEN)) {
        best = at;
        most = value == value ? value : TAKEN;
      }
    }
    store<f32>(best, TAKEN);
  }
}

/**
 * Queries of which only the channels that are largest in a group of heads are left, with the softmax temperature of what is left.
 *
 *   q         f32, f16 or bf16 [B, Tq, H, d]   any strides, last axis contiguous
 *   masked    f32 [B, Tq, H, d]                contiguous: zeros but for the channels
 *   channels  i32 [B, Tq, H / group, r]        contiguous, ascending
 *
 *   channels: the r largest sums of |q| over the heads of a group; masked_c = scale sqrt(|q|_1 / |q_r|_1) q_c, so that a product with a key
 *   is a logit. SparQ (Ribar 2023).
 *
 * Item: one (batch, token, group). Scratch: f32 [d].
 */
export function sparqQueries(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SparqQueryParams>(params);
  const groups = p.heads / p.group;
  const rowBytes = (<usize>p.d) << 2;
  for (let item = begin; item < end; ++item) {
    const token = item / groups;
    const first = (item - token * groups) * p.group;
    const batch = token / p.length;
    const t = token - batch * p.length;
    const rows = p.masked + <usize>(token * p.heads + first) * rowBytes;
    memory.fill(scratch, 0, rowBytes);
    for (let g = 0; g < p.group; ++g) {
      const at = batch * p.qStrideB + t * p.qStrideT + (first + g) * p.qStrideH;
      const row = rows + <usize>g * rowBytes;
      widenRow(p.q + <usize>at * elementBytes(p.qType), p.qType, row, p.d, 1);
      for (let c: usize = 0; c < rowBytes; c += 4)
        store<f32>(scratch + c, load<f32>(scratch + c) + abs(load<f32>(row + c)));
    }
    markLargest(scratch, p.d, p.r);
    let to = p.channels + ((<usize>(item * p.r)) << 2);
    for (let c = 0; c < p.d; ++c) {
      if (load<f32>(scratch + ((<usize>c) << 2)) != TAKEN) continue;
      store<i32>(to, c);
      to += 4;
    }
    for (let g = 0; g < p.group; ++g) {
      const row = rows + <usize>g * rowBytes;
      let all: f64 = 0;
      let taken: f64 = 0;
      for (let c: usize = 0; c < rowBytes; c += 4) {
        const size = <f64>abs(load<f32>(row + c));
        all += size;
        if (load<f32>(scratch + c) == TAKEN) taken += size;
      }
      const factor = <f32>(<f64>p.scale * (taken > 0 ? sqrt<f64>(all / taken) : 1));
      for (let c: usize = 0; c < rowBytes; c += 4) {
        store<f32>(row + c, load<f32>(scratch + c) == TAKEN ? load<f32>(row + c) * factor : 0);
      }
    }
  }
}

/** row += a weight times each of four rows of n numbers; `keys` are channels of one key head. */
function addFour(row: usize, q: usize, channels: usize, keys: usize, stride: usize, n: i32): void {
  const c0 = <usize>load<i32>(channels);
  const c1 = <usize>load<i32>(channels, 4);
  const c2 = <usize>load<i32>(channels, 8);
  const c3 = <usize>load<i32>(channels, 12);
  let k0 = keys + c0 * stride;
  let k1 = keys + c1 * stride;
  let k2 = keys + c2 * stride;
  let k3 = keys + c3 * stride;
  const q0 = v128.load_splat<f32>(q + (c0 << 2));
  const q1 = v128.load_splat<f32>(q + (c1 << 2));
  const q2 = v128.load_splat<f32>(q + (c2 << 2));
  const q3 = v128.load_splat<f32>(q + (c3 << 2));
  for (let left = n >> 2; left > 0; --left) {
    const a = fma(q0, v128.load(k0), v128.load(row));
    const b = fma(q1, v128.load(k1), f32x4.mul(q2, v128.load(k2)));
    v128.store(row, f32x4.add(fma(q3, v128.load(k3), a), b));
    row += 16;
    k0 += 16;
    k1 += 16;
    k2 += 16;
    k3 += 16;
  }
  for (let left = n & 3; left > 0; --left) {
    const a = load<f32>(row) + f32x4.extract_lane(q0, 0) * load<f32>(k0);
    const b = f32x4.extract_lane(q1, 0) * load<f32>(k1) + f32x4.extract_lane(q2, 0) * load<f32>(k2);
    store<f32>(row, a + f32x4.extract_lane(q3, 0) * load<f32>(k3) + b);
    row += 4;
    k0 += 4;
    k1 += 4;
    k2 += 4;
    k3 += 4;
  }
}

/** row += weight times n numbers. */
function addOne(row: usize, weight: f32, x: usize, n: i32): void {
  const w = f32x4.splat(weight);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    v128.store(row + i, fma(w, v128.load(x + i), v128.load(row + i)));
  }
  for (const all = (<usize>n) << 2; i < all; i += 4)
    store<f32>(row + i, load<f32>(row + i) + weight * load<f32>(x + i));
}

/**
 * Products with keys over some channels alone, of keys that lie channel by channel.
 *
 *   q         f32 [B, Tq, H, d]                contiguous
 *   channels  i32 [B, Tq, H / group, r]        contiguous, from 0 to d - 1
 *   kT        f32 [B, H / group, d, columns]   any strides, last axis contiguous
 *   map       f32 [B, H, Tq, columns]          columns contiguous; what no row sees is left as it is
 *
 *   map_ij = sum of q_c kT_cj over the channels. Item: one (batch, key head, blockColumns columns).
 */
export function channelScores(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<ChannelScoreParams>(params);
  const kvHeads = p.lists / p.group;
  const spans = (p.columns + p.blockColumns - 1) / p.blockColumns;
  const stride = (<usize>p.kStrideC) << 2;
  for (let item = begin; item < end; ++item) {
    const list = item / spans;
    const from = (item - list * spans) * p.blockColumns;
    const batch = list / kvHeads;
    const h = list - batch * kvHeads;
    const keys = p.kT + ((<usize>(batch * p.kStrideB + h * p.kStrideH + from)) << 2);
    for (let i = 0; i < p.rows; ++i) {
      const n = min(p.blockColumns, visibleColumns(p, i) - from);
      if (n <= 0) continue;
      const channels = p.channels + ((<usize>(((batch * p.rows + i) * kvHeads + h) * p.r)) << 2);
      for (let g = 0; g < p.group; ++g) {
        const head = h * p.group + g;
        const q = p.q + ((<usize>(((batch * p.rows + i) * p.lists + head) * p.d)) << 2);
        const row = mapRow(p, batch * p.lists + head, i) + ((<usize>from) << 2);
        memory.fill(row, 0, (<usize>n) << 2);
        let c = 0;
        for (; c + 4 <= p.r; c += 4) addFour(row, q, channels + ((<usize>c) << 2), keys, stride, n);
        for (; c < p.r; ++c) {
          const channel = <usize>load<i32>(channels + ((<usize>c) << 2));
          addOne(row, load<f32>(q + (channel << 2)), keys + channel * stride, n);
        }
      }
    }
  }
}

/** Sum of a row's weights whose bits are set; how many are set goes to `count`. */
function chosenMass(row: usize, bits: usize, words: i32, count: usize): f64 {
  let sum: f64 = 0;
  let n = 0;
  for (let w = 0; w < words; ++w) {
    let word = load<u32>(bits + ((<usize>w) << 2));
    n += <i32>popcnt<u32>(word);
    for (; word != 0; word &= word - 1) sum += <f64>load<f32>(row + ((<usize>((w << 5) + <i32>ctz<u32>(word))) << 2));
  }
  store<i32>(count, n);
  return sum;
}

/**
 * The mean of the values that a query sees stands for those that it did not choose.
 *
 *   map   f32 [B, H, Tq, Tk]               columns contiguous: weights that sum to 1 over what a row sees
 *   bits  i32 [B, H, Tq, words]            contiguous
 *   v     f32, f16 or bf16 [B, Tk, H / group, dv]   any strides, last axis contiguous
 *   sums  f32 [B, H / group, dv]           contiguous: of all values, over `weight`
 *   o     f32 [B, Tq, H, dv]               any strides, last axis contiguous; in place
 *
 *   o = alpha o + (1 - alpha) mean of the values seen, alpha the weight of what was chosen: 1 where that is all. SparQ (Ribar 2023).
 *
 * Item: one row. Scratch: f64 [dv], f32 [dv] and 16 bytes.
 */
export function sparqBlend(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SparqBlendParams>(params);
  const value = scratch + ((<usize>p.dv) << 3);
  const count = value + ((<usize>p.dv) << 2);
  const bytes = elementBytes(p.vType);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const batch = list / p.lists;
    const head = list - batch * p.lists;
    const kvHead = head / p.group;
    const n = visibleColumns(p, i);
    const alpha = chosenMass(mapRow(p, list, i), p.bits + ((<usize>(item * p.words)) << 2), p.words, count);
    if (load<i32>(count) >= n) continue;
    const sums = p.sums + ((<usize>((batch * (p.lists / p.group) + kvHead) * p.dv)) << 2);
    for (let c: usize = 0; c < <usize>p.dv; ++c) {
      store<f64>(scratch + (c << 3), <f64>load<f32>(sums + (c << 2)) * <f64>p.weight);
    }
    for (let j = n; j < p.columns; ++j) {
      const at = <usize>batch * <usize>p.vStrideB + <usize>j * <usize>p.vStrideT + <usize>kvHead * <usize>p.vStrideH;
      widenRow(p.v + at * bytes, p.vType, value, p.dv, 1);
      for (let c: usize = 0; c < <usize>p.dv; ++c) {
        store<f64>(scratch + (c << 3), load<f64>(scratch + (c << 3)) - <f64>load<f32>(value + (c << 2)));
      }
    }
    const o = p.o + ((<usize>(batch * p.oStrideB + i * p.oStrideT + head * p.oStrideH)) << 2);
    const rest = (1 - alpha) / <f64>n;
    for (let c: usize = 0; c < <usize>p.dv; ++c) {
      store<f32>(o + (c << 2), <f32>(alpha * <f64>load<f32>(o + (c << 2)) + rest * load<f64>(scratch + (c << 3))));
    }
  }
}
