/**
 * Policies of caches that keep all tokens, of which single queries choose.
 *
 * @module
 */
import { expectNames, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { choosingLayer, restoreChoosingLayer } from './choosing-layer.ts';
import type { LayerSize } from './layer-cache.ts';
import type { CacheSize, LayerKind } from './layer-kind.ts';
import type { ChoosingPolicy } from './side-tables.ts';

/** Pages whose keys could score highest (Quest, Tang 2024). */
export type QuestPolicy = ChoosingPolicy & { readonly kind: 'quest' };

/** Tokens that the largest channels of a query score highest (SparQ, Ribar 2023). */
export type SparqPolicy = ChoosingPolicy & { readonly kind: 'sparq' };

/** A kind whose tables are numbers of the policy and the layer alone. */
function choosingKind<P extends QuestPolicy | SparqPolicy>(
  kind: P['kind'],
  check: (op: string, policy: P, size: CacheSize) => P,
  tableBytes: (size: LayerSize, policy: P) => number,
): LayerKind<P> {
  return {
    kind,
    storages: ['f32'],
    check,
    create: ({ runtime }, size, policy) => choosingLayer(runtime, size, policy),
    restore: ({ runtime }, size, policy, bytes) => restoreChoosingLayer(runtime, size, policy, bytes),
    bytesPerToken: (size, _, policy) => size.kvHeads * (8 * size.headDim + tableBytes(size, policy)),
  };
}

export const questKind = choosingKind<QuestPolicy>(
  'quest',
  (op, policy) => {
    expectNames(`${op}: policy`, 'option', policy, ['kind', 'topk', 'pageSize', 'dtype']);
    const { dtype = 'f32' } = policy;
    if (dtype !== 'f32' && dtype !== 'bf16') {
      throw new OptionError(`${op}: policy.dtype is ${dtype}, expected f32 or bf16 for the bounds of pages`);
    }
    const pageSize = whole(op, 'policy.pageSize', policy.pageSize, 16, 1);
    return { kind: 'quest', topk: whole(op, 'policy.topk', policy.topk ?? Number.NaN, 1, 1), pageSize, dtype };
  },
  ({ headDim }, { pageSize, dtype }) => (2 * headDim * (dtype === 'bf16' ? 2 : 4)) / pageSize!,
);

export const sparqKind = choosingKind<SparqPolicy>(
  'sparq',
  (op, policy, { headDim }) => {
    expectNames(`${op}: policy`, 'option', policy, ['kind', 'topk', 'r', 'local']);
    return {
      kind: 'sparq',
      topk: whole(op, 'policy.topk', policy.topk ?? Number.NaN, 0, 0),
      r: whole(op, 'policy.r', policy.r ?? Number.NaN, 1, 1, headDim),
      local: whole(op, 'policy.local', policy.local, 0, 0),
    };
  },
  // keys once more, channel by channel, and a sum of 64 values
  ({ headDim }) => 4 * headDim + (4 * headDim) / 64,
);
