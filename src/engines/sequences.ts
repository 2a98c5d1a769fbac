/**
 * The sequences of a batch: what padded batches, key lengths and packed batches have in common.
 *
 * @module
 */
import { ShapeError } from '../errors.ts';
import { Sequence } from '../generated/params.ts';
import { encodeInto } from '../runtime/params.ts';
import type { Tensor } from '../tensor.ts';
import { integers } from './shapes.ts';

/** One sequence: where its queries and keys lie, and how they are aligned. */
export interface SequenceSpan {
  readonly batch: number;
  readonly qStart: number;
  readonly qLength: number;
  readonly kStart: number;
  readonly kLength: number;
  /** Key that query 0 is aligned with. */
  readonly offset: number;
}

/** Lengths and the tensors that cut or pack them. */
export interface SequenceInputs {
  readonly kvLens?: Tensor | undefined;
  readonly cuSeqlens?: Tensor | undefined;
  readonly cuSeqlensK?: Tensor | undefined;
}

/**
 * The sequences of a call, aligned bottom-right: the last query with the last key.
 *
 * @throws ShapeError if lengths do not fit the tensors.
 */
export function sequencesOf(
  op: string,
  sizes: { B: number; Tq: number; Tk: number },
  inputs: SequenceInputs,
): SequenceSpan[] {
  const { B, Tq, Tk } = sizes;
  const { kvLens, cuSeqlens, cuSeqlensK } = inputs;
  if (cuSeqlens) {
    if (B !== 1 || kvLens) {
      throw new ShapeError(`${op}: cuSeqlens packs sequences along T: the batch is ${B} and must be 1, without kvLens`);
    }
    const q = boundaries(op, 'cuSeqlens', cuSeqlens, Tq);
    const k = boundaries(op, cuSeqlensK ? 'cuSeqlensK' : 'cuSeqlens', cuSeqlensK ?? cuSeqlens, Tk);
    if (q.length !== k.length) {
      throw new ShapeError(`${op}: cuSeqlens has ${q.length} boundaries and cuSeqlensK ${k.length}; they must pair up`);
    }
    return Array.from({ length: q.length - 1 }, (_, i) => {
      const [qLength, kLength] = [q[i + 1]! - q[i]!, k[i + 1]! - k[i]!];
      return { batch: 0, qStart: q[i]!, qLength, kStart: k[i]!, kLength, offset: kLength - qLength };
    });
  }
  if (cuSeqlensK) throw new ShapeError(`${op}: cuSeqlensK was given without cuSeqlens`);
  const lengths = kvLens ? integers(op, 'kvLens', kvLens) : undefined;
  if (lengths) {
    if (kvLens!.shape.length !== 1 || lengths.length !== B) {
      throw new ShapeError(`${op}: kvLens has shape [${kvLens!.shape}], expected [B] with B = ${B}`);
    }
    const wrong = lengths.findIndex((n) => n < 0 || n > Tk);
    if (wrong >= 0) throw new ShapeError(`${op}: kvLens[${wrong}] is ${lengths[wrong]}, expected 0 to Tk = ${Tk}`);
  }
  return Array.from({ length: B }, (_, batch) => {
    const kLength = lengths?.[batch] ?? Tk;
    return { batch, qStart: 0, qLength: Tq, kStart: 0, kLength, offset: kLength - Tq };
  });
}

function boundaries(op: string, name: string, tensor: Tensor, total: number): Int32Array {
  const at = integers(op, name, tensor);
  const rising = at.every((x, i) => i === 0 || x >= at[i - 1]!);
  if (tensor.shape.length !== 1 || at.length < 2 || at[0] !== 0 || at.at(-1) !== total || !rising) {
    throw new ShapeError(`${op}: ${name} is [${at}], expected rising boundaries from 0 to T = ${total}`);
  }
  return at;
}

/** The table that kernels read, with work items and packed blocks numbered through. */
export function sequenceTable(
  spans: readonly SequenceSpan[],
  itemsOf: (span: SequenceSpan) => number,
  blockKeys: number,
): { words: Int32Array; items: number; blocks: number } {
  const words = new Int32Array(Sequence.length * spans.length);
  let items = 0;
  let blocks = 0;
  for (const [i, span] of spans.entries()) {
    encodeInto(Sequence, { ...span, packBlock: blocks, firstItem: items }, words, i * Sequence.length);
    items += itemsOf(span);
    blocks += Math.ceil(span.kLength / blockKeys);
  }
  return { words, items, blocks };
}
