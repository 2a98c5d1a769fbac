import { FOLDED_FLUSH } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { fma } from '../simd/fma';

/** Rows of a record: k, b, a, q. */
export const SINGLE_K: usize = 0;
export const SINGLE_B: usize = 1;
export const SINGLE_A: usize = 2;
export const SINGLE_Q: usize = 3;

/**
 * One token on eight columns of the state, and the reading of the next: S += k v + b r, o = q S, then r = a S with a of the next token.
 *
 *   state   f32 [rows][8]
 *   record  f32 [4][rows]   k b a q of the token, rows `rowBytes` apart
 *   next    f32 [rows]      a of the next token; may be any row for the last
 *   r       f32 [8]         becomes that of the next token
 *   v, o    f32 [8]
 *
 * rows is even, nothing aliases. Reads take two accumulators each, so that no chain of sums is waited for.
 */
export function sweepSingle(
  state: usize,
  record: usize,
  next: usize,
  rowBytes: usize,
  rows: i32,
  r: usize,
  v: usize,
  o: usize,
): void {
  const v0 = v128.load(v);
  const v1 = v128.load(v, 16);
  const r0 = v128.load(r);
  const r1 = v128.load(r, 16);
  let o0 = i32x4.splat(0);
  let o1 = o0;
  let o2 = o0;
  let o3 = o0;
  let n0 = o0;
  let n1 = o0;
  let n2 = o0;
  let n3 = o0;
  let k = record;
  let b = record + SINGLE_B * rowBytes;
  let q = record + SINGLE_Q * rowBytes;
  for (; rows > 0; rows -= 2) {
    let x = v128.load32_splat(k);
    let s0 = fma(x, v0, v128.load(state));
    let s1 = fma(x, v1, v128.load(state, 16));
    x = v128.load32_splat(b);
    s0 = fma(x, r0, s0);
    s1 = fma(x, r1, s1);
    v128.store(state, s0);
    v128.store(state, s1, 16);
    x = v128.load32_splat(q);
    o0 = fma(x, s0, o0);
    o1 = fma(x, s1, o1);
    x = v128.load32_splat(next);
    n0 = fma(x, s0, n0);
    n1 = fma(x, s1, n1);

    x = v128.load32_splat(k, 4);
    s0 = fma(x, v0, v128.load(state, 32));
    s1 = fma(x, v1, v128.load(state, 48));
    x = v128.load32_splat(b, 4);
    s0 = fma(x, r0, s0);
    s1 = fma(x, r1, s1);
    v128.store(state, s0, 32);
    v128.store(state, s1, 48);
    x = v128.load32_splat(q, 4);
    o2 = fma(x, s0, o2);
    o3 = fma(x, s1, o3);
    x = v128.load32_splat(next, 4);
    n2 = fma(x, s0, n2);
    n3 = fma(x, s1, n3);
    state += 64;
    k += 8;
    b += 8;
    q += 8;
    next += 8;
  }
  v128.store(o, f32x4.add(o0, o2));
  v128.store(o, f32x4.add(o1, o3), 16);
  v128.store(r, f32x4.add(n0, n2));
  v128.store(r, f32x4.add(n1, n3), 16);
}

/** The start of a block: r = a S on eight columns of the state, which then decay. Operands as in `sweepSingle` and `openPair`. */
export function openSingle(state: usize, factor: usize, a: usize, rows: i32, r: usize): void {
  const flush = v128.load(FOLDED_FLUSH);
  let r0 = i32x4.splat(0);
  let r1 = r0;
  for (; rows > 0; --rows) {
    const s0 = v128.load(state);
    const s1 = v128.load(state, 16);
    let x = v128.load32_splat(a);
    r0 = fma(x, s0, r0);
    r1 = fma(x, s1, r1);
    x = v128.load32_splat(factor);
    v128.store(state, flushedBelow(f32x4.mul(s0, x), flush));
    v128.store(state, flushedBelow(f32x4.mul(s1, x), flush), 16);
    state += 32;
    factor += 4;
    a += 4;
  }
  v128.store(r, r0);
  v128.store(r, r1, 16);
}
