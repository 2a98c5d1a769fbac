/**
 * Policies of caches in pages: all keys, a window, sinks and a window, heads of both kinds.
 *
 * @module
 */
import { expectNames, finite, flag, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import type { LayerSize } from './layer-cache.ts';
import type { CacheSize, LayerHost, LayerKind } from './layer-kind.ts';
import { type PageType, pageTypes, rowBytes } from './page-pool.ts';
import { layerPages, PagedLayer, type PagedPlan, type SlotRope } from './paged-layer.ts';

/** Every token is kept. */
export interface FullPolicy {
  readonly kind: 'full';
}

/** A query sees the last `window` keys, its own counted; pages behind are given back. */
export interface WindowPolicy {
  readonly kind: 'window';
  readonly window: number;
}

/** Attention sinks (StreamingLLM, Xiao 2023): a query sees the first `sinks` keys and the last `window`. */
export interface StreamingPolicy {
  readonly kind: 'streaming';
  /** Default 4. */
  readonly sinks?: number;
  readonly window: number;
  /** Keys and queries come unrotated and are turned by their place in the cache. Default: they are used as they come. */
  readonly rope?: SlotRope;
}

/** Heads that keep every token beside heads with sinks and a window (DuoAttention, Xiao 2024). */
export interface DuoPolicy {
  readonly kind: 'duo';
  /** [layers][kvHeads] */
  readonly heads: readonly (readonly ('full' | 'streaming')[])[];
  /** Default 64. */
  readonly sinks?: number;
  /** Default 256. */
  readonly window?: number;
}

/** A kind that keeps its keys in pages. */
function pagedKind<P extends { readonly kind: string }>(
  kind: string,
  check: (op: string, policy: P, size: CacheSize) => P,
  planOf: (size: LayerSize, policy: P) => PagedPlan,
): LayerKind<P> {
  const poolOf = (host: LayerHost, size: LayerSize, policy: P) => {
    const layers = Array.from({ length: size.layers }, (_, layer) => ({ ...size, layer }));
    return host.pool(layers.reduce((n, each) => n + layerPages(each, planOf(each, policy), host.pageSize), 0));
  };
  const planIn = ({ smoothKeys }: LayerHost, size: LayerSize, policy: P) => ({ ...planOf(size, policy), smoothKeys });
  return {
    kind,
    storages: pageTypes,
    paged: true,
    smooths: true,
    check,
    create: (host, size, policy) => new PagedLayer(poolOf(host, size, policy), size, planIn(host, size, policy)),
    restore: (host, size, policy, bytes) =>
      PagedLayer.restore(poolOf(host, size, policy), size, planIn(host, size, policy), bytes),
    bytesPerToken: (size, dtype) => size.kvHeads * rowBytes(dtype as PageType, size.headDim),
  };
}

/** A number of tokens that has no default where `fallback` is left out. */
function tokens(op: string, name: string, value: number | undefined, low: number, fallback?: number): number {
  if (value === undefined && fallback === undefined) {
    throw new OptionError(`${op}: ${name} is missing, expected a whole number >= ${low}`);
  }
  return whole(op, name, value, fallback ?? low, low);
}

/** A streaming policy's rope with its defaults. @throws OptionError */
function ropeOf(op: string, rope: SlotRope, headDim: number): Required<SlotRope> {
  expectNames(`${op}: policy.rope`, 'option', rope, ['theta', 'interleaved']);
  if (headDim % 2 !== 0) throw new OptionError(`${op}: policy.rope needs an even headDim, ${headDim} was given`);
  return {
    theta: finite(op, 'policy.rope.theta', rope.theta, 10000, Number.MIN_VALUE),
    interleaved: flag(op, 'policy.rope.interleaved', rope.interleaved),
  };
}

/** @throws OptionError if `heads` is not a plan for every head of every layer. */
function headsOf(op: string, heads: DuoPolicy['heads'], { layers, kvHeads }: CacheSize): DuoPolicy['heads'] {
  const known = (kind: unknown) => kind === 'full' || kind === 'streaming';
  const fits = (row: unknown) => Array.isArray(row) && row.length === kvHeads && row.every(known);
  if (!Array.isArray(heads) || heads.length !== layers || !heads.every(fits)) {
    throw new OptionError(
      `${op}: policy.heads is ${JSON.stringify(heads)}, expected 'full' or 'streaming' for ${kvHeads} heads of ${layers} layers`,
    );
  }
  return heads.map((row) => [...row]);
}

const all = (size: LayerSize, full: boolean) => new Array<boolean>(size.kvHeads).fill(full);

export const fullKind = pagedKind<FullPolicy>(
  'full',
  (op, policy) => {
    expectNames(`${op}: policy`, 'option', policy, ['kind']);
    return { kind: 'full' };
  },
  (size) => ({ full: all(size, true), sinks: 0, window: 1 }),
);

export const windowKind = pagedKind<WindowPolicy>(
  'window',
  (op, policy) => {
    expectNames(`${op}: policy`, 'option', policy, ['kind', 'window']);
    return { kind: 'window', window: tokens(op, 'policy.window', policy.window, 1) };
  },
  (size, { window }) => ({ full: all(size, false), sinks: 0, window }),
);

export const streamingKind = pagedKind<StreamingPolicy>(
  'streaming',
  (op, policy, { headDim }) => {
    expectNames(`${op}: policy`, 'option', policy, ['kind', 'sinks', 'window', 'rope']);
    return {
      kind: 'streaming',
      sinks: tokens(op, 'policy.sinks', policy.sinks, 0, 4),
      window: tokens(op, 'policy.window', policy.window, 1),
      ...(policy.rope && { rope: ropeOf(op, policy.rope, headDim) }),
    };
  },
  (size, { sinks, window, rope }) => ({
    full: all(size, false),
    sinks: sinks!,
    window,
    rope: rope as Required<SlotRope> | undefined,
  }),
);

export const duoKind = pagedKind<DuoPolicy>(
  'duo',
  (op, policy, size) => {
    expectNames(`${op}: policy`, 'option', policy, ['kind', 'heads', 'sinks', 'window']);
    return {
      kind: 'duo',
      heads: headsOf(op, policy.heads, size),
      sinks: tokens(op, 'policy.sinks', policy.sinks, 0, 64),
      window: tokens(op, 'policy.window', policy.window, 1, 256),
    };
  },
  ({ layer }, { heads, sinks, window }) => ({
    full: heads[layer]!.map((kind) => kind === 'full'),
    sinks: sinks!,
    window: window!,
  }),
);
