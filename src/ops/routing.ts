/**
 * Routing attention.
 *
 * @module
 */
import { type ClusterCall, clusterAttend, clusterMembers, moveCentroids } from '../engines/clusters.ts';
import { asFloats } from '../engines/copy.ts';
import { l2norm } from '../engines/features.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `routingAttention`. */
export interface RoutingAttentionInputs {
  /** [B, Tq, H, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, H, D]; likewise. */
  readonly k: Tensor;
  /** [B, Tk, H, Dv]; likewise. */
  readonly v: Tensor;
  /** f32 [H, C, D]: directions that clusters lie around. */
  readonly centroids: Tensor;
  /** f32 [H, C, M, D]: keys of each cluster that all of its queries see. */
  readonly memK?: Tensor;
  /** f32 [H, C, M, Dv]; goes with memK. */
  readonly memV?: Tensor;
}

/** Options of `routingAttention`. */
export interface RoutingAttentionOptions {
  /** Queries, and keys, of each cluster: those nearest to its centroid. Default the number of tokens over that of clusters, rounded up; at most all. */
  readonly window?: number;
  /** Clusters, which must be as many as the centroids. */
  readonly numClusters?: number;
  /** Token i sees token j only if j <= i, and all memories. Default false. */
  readonly causal?: boolean;
  /** Whether scores are of the directions of q and k. Default false: only clusters are chosen by directions. */
  readonly normalize?: boolean;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Return centroids decay c + (1 - decay) times the mean direction of the queries and keys nearest to each. Default: none. */
  readonly decay?: number;
  /** Whether to return `queries` and `keys`. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `routingAttention`. */
export interface RoutingAttentionResult {
  /** f32 [B, Tq, H, Dv] */
  readonly o: Tensor;
  /** f32 [H, C, D], with decay. */
  readonly centroids?: Tensor;
  /** i32 [B, H, C, window], with returnSelection: the queries of each cluster in ascending order. */
  readonly queries?: Tensor;
  /** i32 [B, H, C, window], with returnSelection: its keys. */
  readonly keys?: Tensor;
}

const OP = 'routingAttention';
const OPTIONS = ['window', 'numClusters', 'causal', 'normalize', 'scale', 'decay', 'returnSelection'];

/** Lays out the call. */
export function planRouting(
  b: Builder,
  inputs: RoutingAttentionInputs,
  options: RoutingAttentionOptions,
): RoutingAttentionResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'centroids', 'memK', 'memV']);
  expectNames(OP, 'option', options, OPTIONS);
  const { q, k, v, centroids, memK, memV } = inputs;
  const sizes = matchShapes<keyof RoutingAttentionInputs>(
    OP,
    { ...inputs },
    { q: 'B Tq H D', k: 'B Tk H D', v: 'B Tk H Dv', centroids: 'H C D', memK: '?H C M D', memV: '?H C M Dv' },
  );
  const { B, Tq, Tk, H, D, Dv, C } = sizes as Record<'B' | 'Tq' | 'Tk' | 'H' | 'D' | 'Dv' | 'C', number>;
  expectTypes(OP, { q, k, v }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { centroids, memK, memV }, ['f32']);
  expectRows(OP, { q, k, v });
  expectContiguous(OP, { centroids, memK, memV });
  if (!memK !== !memV)
    throw new OptionError(`${OP}: ${memK ? 'memK' : 'memV'} was given alone; memK and memV go together`);
  if (C === 0) throw new ShapeError(`${OP}: centroids has shape [${centroids.shape}]; there must be at least one`);
  whole(OP, 'numClusters', options.numClusters, C, C, C);
  const window = whole(OP, 'window', options.window, Math.max(1, Math.ceil(Tq / Math.max(1, C))), 1);
  const { causal = false, normalize = false, returnSelection = false } = options;
  for (const [name, value] of Object.entries({ causal, normalize, returnSelection })) {
    if (typeof value !== 'boolean') throw new OptionError(`${OP}: ${name} is ${value}, expected true or false`);
  }
  if (causal && Tq !== Tk) {
    throw new OptionError(`${OP}: causal is for one sequence, but there are ${Tq} queries and ${Tk} keys`);
  }
  const scale = finite(OP, 'scale', options.scale, D ** -0.5);
  const decay = options.decay === undefined ? undefined : finite(OP, 'decay', options.decay, 0, 0, 1);
  const o = b.output([B, Tq, H, Dv]);
  const directions = { q: l2norm(b, asFloats(b, q), { eps: 0 }), k: l2norm(b, asFloats(b, k), { eps: 0 }) };
  const members = {
    queries: clusterMembers(b, directions.q, centroids, Math.min(window, Tq)),
    keys: clusterMembers(b, directions.k, centroids, Math.min(window, Tk)),
  };
  const call: ClusterCall = {
    ...(normalize ? directions : { q, k }),
    v,
    ...members,
    memory: memK && memV && { k: memK, v: memV },
    causal,
    scale,
    o,
  };
  clusterAttend(b, call);
  b.note(() => {
    const pairs = members.queries.shape[3]! * members.keys.shape[3]!;
    const share = Tq * Tk === 0 ? 0 : (100 * C * pairs) / (Tq * Tk);
    return `${C} clusters of ${members.queries.shape[3]} queries and ${members.keys.shape[3]} keys: ${share.toFixed(1)} % of the pairs`;
  });
  const result: { -readonly [name in keyof RoutingAttentionResult]: Tensor } & { o: Tensor } = { o };
  if (decay !== undefined) {
    result.centroids = b.output(centroids.shape);
    moveCentroids(b, centroids, [directions.q, directions.k], decay, result.centroids);
  }
  if (returnSelection) Object.assign(result, { queries: b.keep(members.queries), keys: b.keep(members.keys) });
  return result;
}

/**
 * Attention within clusters: around every centroid the `window` queries and the `window` keys whose directions lie nearest to it, and a
 * memory; a token of several clusters gets the mean of what they give, one of none gets zeros.
 *
 * A query that sees no key of a cluster takes zeros from it: with `causal`, give every cluster a memory.
 *
 * Source: Routing Transformer (Roy 2021); reference implementation lucidrains, routing-transformer, whose scores are those of `normalize`
 * where its q and k are normalised.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await routingAttention({ q, k, v, centroids, memK, memV }, { window: 128, causal: true })
 */
export function routingAttention(
  inputs: RoutingAttentionInputs,
  options: RoutingAttentionOptions = {},
): Promise<RoutingAttentionResult> {
  return run(OP, inputs, (b) => planRouting(b, inputs, options));
}

/** As `routingAttention`, to the end before it returns. */
export function routingAttentionSync(
  inputs: RoutingAttentionInputs,
  options: RoutingAttentionOptions = {},
): RoutingAttentionResult {
  return runSync(OP, inputs, (b) => planRouting(b, inputs, options));
}
