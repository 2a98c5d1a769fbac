/**
 * What is kept beside the keys and values of a layer so that single queries need not read them all.
 *
 * @module
 */
import { copyIntegers, copyRows } from '../engines/copy.ts';
import { takeChannels } from '../engines/select/channels.ts';
import { type SignatureNet, signatures } from '../engines/select/hamming.ts';
import { pageBounds } from '../engines/select/page-bounds.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { expectTypes, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import type { OpenChoice } from '../ops/chosen-tokens.ts';
import { attendLabels, expectChannels } from '../ops/double-sparsity.ts';
import { attendHashes, expectNet } from '../ops/hash-attention.ts';
import { alongBasis, attendAlong, expectBasis } from '../ops/loki.ts';
import { attendPages } from '../ops/quest.ts';
import { attendSparq } from '../ops/sparq.ts';
import type { Builder } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, type Tensor } from '../tensor.ts';
import type { LayerSize } from './layer-cache.ts';
import { ownTensor } from './own-tensor.ts';

/**
 * Tokens that a choice takes beside those of the highest scores.
 *
 * @inline
 */
interface Taken {
  readonly topk: number;
  readonly sinks?: number;
  readonly recent?: number;
}

/** How single queries choose; see the operations of these names. Tensors stay the caller's, who keeps them as long as the layer. */
export type ChoosingPolicy =
  | { readonly kind: 'quest'; readonly topk: number; readonly pageSize?: number; readonly dtype?: 'f32' | 'bf16' }
  | { readonly kind: 'sparq'; readonly topk: number; readonly r: number; readonly local?: number }
  | ({ readonly kind: 'doubleSparsity'; readonly channels: Tensor } & Taken)
  | ({ readonly kind: 'loki'; readonly basis: Tensor } & Taken)
  | ({ readonly kind: 'hashAttention'; readonly q: SignatureNet; readonly k: SignatureNet } & Taken);

/** The tables of one method. */
export interface SideTables {
  /** Tensors of the whole capacity. */
  readonly tables: readonly Tensor[];
  /** What a choice takes in any case and beside. */
  readonly taken: Required<Taken>;
  /** How many of the first `length` tokens need not be brought in again if all from there on are forgotten. */
  settled(length: number): number;
  /** Views of what the first `length` tokens have in each table, without gaps between the numbers of a view. */
  live(length: number): readonly Tensor[];
  /** Lays out that tokens [from, to) of the rows [1, capacity, Hkv, D] are brought in; all before `from` are. */
  update(b: Builder, k: Tensor, v: Tensor, from: number, to: number): void;
  /** Lays out attention of one query on what it chooses among the call's keys. */
  attend(b: Builder, open: OpenChoice): void;
}

const OP = 'choosingLayer';

/** Pages of bounds. */
function questTables(rt: Runtime, size: LayerSize, policy: ChoosingPolicy & { kind: 'quest' }): SideTables {
  const { kvHeads, headDim, capacity } = size;
  const page = whole(OP, 'pageSize', policy.pageSize, 16, 1);
  const topk = whole(OP, 'topk', policy.topk, 0, 1);
  const { dtype = 'f32' } = policy;
  if (dtype !== 'f32' && dtype !== 'bf16') throw new OptionError(`${OP}: dtype is ${dtype}, expected f32 or bf16`);
  const bounds = ownTensor(rt, [1, kvHeads, Math.ceil(capacity / page), 2, headDim], dtype);
  const pages = (length: number) => bounds.slice(2, 0, Math.ceil(length / page));
  return {
    tables: [bounds],
    taken: { topk, sinks: 0, recent: 0 },
    settled: (length) => Math.floor(length / page) * page,
    live: (length) => heads(pages(length)),
    update(b, k, _, from, to) {
      const first = Math.floor(from / page);
      pageBounds(b, k.slice(1, first * page, to), page, bounds.slice(2, first, Math.ceil(to / page)));
    },
    attend: (b, { call }) => {
      attendPages(b, call, pages(call.k.shape[1]!), page, topk);
    },
  };
}

/** What `make` makes; if it fails, the tensor that was there before is given back. */
function besides(made: Tensor, make: () => Tensor): Tensor {
  try {
    return make();
  } catch (error) {
    made.dispose();
    throw error;
  }
}

/** Values whose sum is one row of a table. */
const SUM_BLOCK = 64;

/** Keys channel by channel, and sums of values. */
function sparqTables(rt: Runtime, size: LayerSize, policy: ChoosingPolicy & { kind: 'sparq' }): SideTables {
  const { kvHeads, headDim, capacity } = size;
  const topk = whole(OP, 'topk', policy.topk, 0, 0);
  const r = whole(OP, 'r', policy.r, 0, 1, headDim);
  const local = whole(OP, 'local', policy.local, 0, 0);
  const kT = ownTensor(rt, [1, kvHeads, headDim, capacity]);
  const sums = besides(kT, () => ownTensor(rt, [1, Math.ceil(capacity / SUM_BLOCK), kvHeads, headDim]));
  const blocks = (length: number) => sums.slice(1, 0, Math.ceil(length / SUM_BLOCK));
  return {
    tables: [kT, sums],
    taken: { topk, sinks: 0, recent: 0 },
    settled: (length) => Math.floor(length / SUM_BLOCK) * SUM_BLOCK,
    live: (length) => [...channelsOf(kT, length), blocks(length)],
    update(b, k, v, from, to) {
      // every number is a row: tokens stand for batches, channels for tokens
      const rows = k.slice(1, from, to);
      const [, stepT, stepH] = rows.strides as [number, number, number];
      const [, headStep, channelStep] = kT.strides as [number, number, number];
      const shape = [to - from, headDim, kvHeads, 1];
      const target = kT.slice(3, from, to).restride(shape, [1, channelStep, headStep, 1]);
      copyRows(b, rows.restride(shape, [stepT, 1, stepH, 1]), target);
      const first = Math.floor(from / SUM_BLOCK);
      const into = sums.slice(1, first, Math.ceil(to / SUM_BLOCK));
      poolBlocks(b, v.slice(1, first * SUM_BLOCK, to), SUM_BLOCK, 'sum', into);
    },
    attend(b, open) {
      const length = open.call.k.shape[1]!;
      const all = poolBlocks(b, blocks(length), Math.ceil(length / SUM_BLOCK), 'sum');
      attendSparq(b, open, { kT: kT.slice(3, 0, length), r, local, values: { sums: all, weight: 1 } });
    },
  };
}

/** What a choice takes, checked. */
function takenOf({ topk, sinks, recent }: Taken): Required<Taken> {
  return {
    topk: whole(OP, 'topk', topk, 0, 0),
    sinks: whole(OP, 'sinks', sinks, 0, 0),
    recent: whole(OP, 'recent', recent, 0, 0),
  };
}

/** Rows of r numbers a token, heads one after another. */
function rowTables(
  rt: Runtime,
  { kvHeads, capacity }: LayerSize,
  r: number,
  policy: Taken,
  update: (b: Builder, k: Tensor, into: Tensor) => void,
  attend: (b: Builder, open: OpenChoice, rows: Tensor) => void,
): SideTables {
  const taken = takenOf(policy);
  const table = ownTensor(rt, [1, kvHeads, capacity, r]);
  const tokens = table.permute([0, 2, 1, 3]);
  return {
    tables: [table],
    taken,
    settled: (length) => length,
    live: (length) => heads(table.slice(2, 0, length)),
    update: (b, k, _, from, to) => update(b, k.slice(1, from, to), tokens.slice(1, from, to)),
    attend: (b, open) => attend(b, open, tokens.slice(1, 0, open.call.k.shape[1]!)),
  };
}

/** Signatures of keys. */
function hashTables(rt: Runtime, size: LayerSize, policy: ChoosingPolicy & { kind: 'hashAttention' }): SideTables {
  const { kvHeads, headDim, capacity } = size;
  const taken = takenOf(policy);
  for (const name of ['q', 'k'] as const) {
    if (!policy[name])
      throw new OptionError(`${OP}: ${name} is missing, expected planes that its signatures are made by`);
  }
  expectNet(OP, policy.k, kvHeads, headDim);
  const bits = policy.k.planes.shape[2]!;
  const table = ownTensor(rt, [1, kvHeads, capacity], 'i32');
  return {
    tables: [table],
    taken,
    settled: (length) => length,
    live: (length) => heads(table.slice(2, 0, length)),
    update: (b, k, _, from, to) =>
      copyIntegers(b, signatures(b, k.slice(1, from, to), policy.k), table.slice(2, from, to)),
    attend(b, open) {
      const { q, k } = open.call;
      expectNet(OP, policy.q, q.shape[2]!, headDim);
      attendHashes(b, open, signatures(b, q, policy.q), table.slice(2, 0, k.shape[1]!), bits);
    },
  };
}

/** A view [1, H, n, ...] head by head. */
function heads(x: Tensor): readonly Tensor[] {
  return Array.from({ length: x.shape[1]! }, (_, h) => x.slice(1, h, h + 1));
}

/** A view [1, H, D, n] channel by channel. */
function channelsOf(kT: Tensor, length: number): readonly Tensor[] {
  const [, kvHeads, headDim] = kT.shape as [number, number, number];
  const live = kT.slice(3, 0, length);
  return Array.from({ length: kvHeads * headDim }, (_, n) => {
    const h = Math.floor(n / headDim);
    return live.slice(1, h, h + 1).slice(2, n - h * headDim, n - h * headDim + 1);
  });
}

/** Bytes of the numbers of views. */
export function bytesOfAll(views: readonly Tensor[]): number {
  return views.reduce((n, x) => n + x.size * bytesOf(x.dtype), 0);
}

/** The tables of a policy. @throws OptionError, ShapeError, DTypeError for what does not fit the layer. */
export function sideTables(rt: Runtime, size: LayerSize, policy: ChoosingPolicy): SideTables {
  const { kvHeads, headDim } = size;
  if (policy.topk === undefined) throw new OptionError(`${OP}: topk is missing, expected how much a query takes`);
  switch (policy.kind) {
    case 'quest':
      return questTables(rt, size, policy);
    case 'sparq':
      if (policy.r === undefined)
        throw new OptionError(`${OP}: r is missing, expected how many channels are scored by`);
      return sparqTables(rt, size, policy);
    case 'doubleSparsity': {
      const { channels } = policy;
      const r = expectChannels(OP, channels, kvHeads, headDim);
      const update = (b: Builder, k: Tensor, into: Tensor) => void takeChannels(b, k, channels, into);
      return rowTables(rt, size, r, policy, update, (b, open, rows) => void attendLabels(b, open, channels, rows));
    }
    case 'loki': {
      const { basis } = policy;
      const r = expectBasis(OP, basis, kvHeads, headDim);
      expectTypes(OP, { basis }, ['f32']);
      const update = (b: Builder, k: Tensor, into: Tensor) =>
        copyRows(b, alongBasis(b, k, basis).permute([0, 2, 1, 3]), into);
      return rowTables(rt, size, r, policy, update, (b, open, rows) => void attendAlong(b, open, basis, rows));
    }
    case 'hashAttention':
      return hashTables(rt, size, policy);
    default: {
      const kind = (policy as { kind?: unknown }).kind;
      throw new OptionError(`${OP}: kind is ${kind}, expected quest, sparq, doubleSparsity, loki or hashAttention`);
    }
  }
}
