/**
 * Linear attention without order whose query blocks read the sums of some key blocks each.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { gemm, gemmPack, packedSize } from './gemm.ts';
import { type LinearCall, type LinearState, linear, type Normalizer, readState } from './linear.ts';
import { bitWeights } from './select/bit-weights.ts';
import type { SequenceSpan } from './sequences.ts';

/** Features of queries f32 [B, Tq, Hq, D] and keys f32 [B, Tk, Hkv, D], values [B, Tk, Hkv, Dv], and where outputs go. */
export interface BlockLinearCall {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  /** f32 [B, Tq, Hq, Dv], contiguous. */
  readonly o: Tensor;
  /** What is added to the denominators. */
  readonly epsilon: number;
}

/** Blocks of `size` tokens of each batch entry as sequences. */
function blockSpans(batch: number, length: number, size: number): SequenceSpan[] {
  return Array.from({ length: batch }, (_, b) =>
    Array.from({ length: Math.ceil(length / size) }, (_, c) => {
      const [start, n] = [c * size, Math.min(size, length - c * size)];
      return { batch: b, qStart: start, qLength: n, kStart: start, kLength: n, offset: 0 };
    }),
  ).flat();
}

/** Each batch entry as a sequence. */
function wholeSpans(batch: number, length: number): SequenceSpan[] {
  const span = { qStart: 0, qLength: length, kStart: 0, kLength: length, offset: 0 };
  return Array.from({ length: batch }, (_, i) => ({ batch: i, ...span }));
}

/** Sums of k v and of k over each sequence. */
function sumsOf(b: Builder, { k, v }: BlockLinearCall, sequences: SequenceSpan[], normalizer: Normalizer): LinearState {
  const [heads, dk] = [k.shape[2]!, k.shape[3]!];
  const state = b.temporary([sequences.length, heads, dk, v.shape[3]!]);
  const z = b.temporary([sequences.length, heads, dk]);
  linear(b, { k, v, normalizer, scale: 1, final: { state, z }, sequences });
  return { state, z };
}

/** Every second, third, ... head from `first` on, as many as there are states. */
function headsFrom(x: Tensor, first: number, step: number): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const [strideB, strideT, strideH] = x.strides as [number, number, number];
  return x.slice(2, first, heads).restride([batch, length, heads / step, d], [strideB, strideT, strideH * step, 1]);
}

/** o = q S / (q z + epsilon) for states that stay; values have only their shape to give. */
function readSums(
  b: Builder,
  q: Tensor,
  o: Tensor,
  sums: LinearState,
  sequences: SequenceSpan[],
  normalizer: Normalizer,
): void {
  const call: LinearCall = { q, k: q, v: o, o, scale: 1, normalizer, initial: sums, final: sums, sequences };
  readState(b, call);
}

/** Adds o = sum_j q k_j v_j / (sum_j q k_j + epsilon) over all keys. */
export function linearOverAll(b: Builder, call: BlockLinearCall): void {
  const { q, k, o, epsilon } = call;
  const [batch, Tq, heads] = q.shape as [number, number, number];
  const normalizer = { kind: 'add', epsilon } as const;
  const sums = sumsOf(b, call, wholeSpans(batch, k.shape[1]!), normalizer);
  // query heads of a group take turns at the state that they share
  const group = heads / k.shape[2]!;
  const spans = wholeSpans(batch, Tq);
  for (let i = 0; i < group; ++i) {
    readSums(b, headsFrom(q, i, group), headsFrom(o, i, group), sums, spans, normalizer);
  }
}

/**
 * Adds o = sum_j q k_j v_j / (sum_j q k_j + epsilon) over the keys of the blocks that a query's block did not choose: bits i32
 * [B, Hq, query blocks, W].
 */
export function linearOverRest(b: Builder, call: BlockLinearCall, bits: Tensor, blockQ: number, blockK: number): void {
  const { q, v, o, epsilon } = call;
  const [batch, Tq, heads, dk] = q.shape as [number, number, number, number];
  const [, Tk, kvHeads, dv] = v.shape as [number, number, number, number];
  const [rows, columns] = [Math.ceil(Tq / blockQ), Math.ceil(Tk / blockK)];
  const normalizer = { kind: 'add', epsilon } as const;
  const blocks = sumsOf(b, call, blockSpans(batch, Tk, blockK), normalizer);
  const weights = bitWeights(b, bits, columns, 0);
  const state = b.temporary([batch * rows, heads, dk, dv]);
  const z = b.temporary([batch * rows, heads, dk]);
  const group = heads / kvHeads;
  for (let i = 0; i < batch; ++i) {
    for (let h = 0; h < kvHeads; ++h) {
      for (const [from, to, n] of [
        [blocks.state, state, dk * dv],
        [blocks.z!, z, dk],
      ] as const) {
        b.reusing(() => {
          // sums of the rest are one product of zeros and ones with the blocks' sums
          const pack = b.temporary([packedSize(columns, n)]);
          const matrix = from.slice(0, i * columns, (i + 1) * columns).slice(1, h, h + 1);
          gemmPack(b, matrix.restride([columns, n], [kvHeads * n, 1]), false, pack.address);
          gemm(b, {
            a: weights.slice(0, i, i + 1).slice(1, h * group, heads).address,
            aStride: columns,
            bPack: pack.address,
            o: to.slice(0, i * rows, (i + 1) * rows).slice(1, h * group, heads).address,
            oStride: heads * n,
            bias: 0,
            m: rows,
            k: columns,
            n,
            activation: 'none',
            batch: [group, rows * columns, 0, n],
          });
        });
      }
    }
  }
  readSums(b, q, o, { state, z }, blockSpans(batch, Tq, blockQ), normalizer);
}
