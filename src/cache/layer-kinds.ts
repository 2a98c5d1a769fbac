/**
 * The kinds of layers that a KVCache can have.
 *
 * @module
 */
import { OptionError, UnsupportedError } from '../errors.ts';
import { type QuestPolicy, questKind, type SparqPolicy, sparqKind } from './choosing-kinds.ts';
import { type CodeType, codeKind } from './code-kinds.ts';
import { type CustomPolicy, customKind } from './custom-kind.ts';
import type { LayerKind } from './layer-kind.ts';
import type { PageType } from './page-pool.ts';
import {
  type DuoPolicy,
  duoKind,
  type FullPolicy,
  fullKind,
  type StreamingPolicy,
  streamingKind,
  type WindowPolicy,
  windowKind,
} from './paged-kinds.ts';
import { type ChaiPolicy, chaiKind, h2oKind, pyramidKind, snapKind, tovaKind } from './slot-kinds.ts';
import type { SlotPolicy } from './slot-layer.ts';

/** How keys and values are kept. */
export type CacheType = PageType | CodeType;

/** Which keys are kept. */
export type CachePolicy =
  | FullPolicy
  | WindowPolicy
  | StreamingPolicy
  | DuoPolicy
  | SlotPolicy
  | ChaiPolicy
  | QuestPolicy
  | SparqPolicy
  | CustomPolicy;

/** A line for each kind; those of one policy differ in the storages that they go with. */
const KINDS: readonly LayerKind<never>[] = [
  fullKind,
  codeKind,
  windowKind,
  streamingKind,
  duoKind,
  h2oKind,
  tovaKind,
  snapKind,
  pyramidKind,
  chaiKind,
  questKind,
  sparqKind,
  customKind,
];

/** All storages. */
export const cacheTypes: readonly CacheType[] = [...new Set(KINDS.flatMap(({ storages }) => storages))];

/** The kind that serves a policy in a storage. @throws OptionError, UnsupportedError if there is none. */
export function layerKind(op: string, kind: CachePolicy['kind'], dtype: CacheType): LayerKind<CachePolicy> {
  if (!cacheTypes.includes(dtype)) {
    throw new OptionError(`${op}: dtype is '${dtype}', expected one of ${cacheTypes.join(', ')}`);
  }
  const kinds = KINDS.filter((each) => each.kind === kind);
  if (kinds.length === 0) {
    const known = [...new Set(KINDS.map((each) => each.kind))];
    throw new OptionError(`${op}: policy is '${kind}', expected one of ${known.join(', ')}`);
  }
  const found = kinds.find(({ storages }) => storages.includes(dtype));
  if (!found) {
    const storages = kinds.flatMap((each) => each.storages);
    throw new UnsupportedError(`${op}: policy '${kind}' goes with ${storages.join(', ')}, not with ${dtype}`);
  }
  return found as unknown as LayerKind<CachePolicy>;
}
