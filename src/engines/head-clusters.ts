/**
 * Heads that share one softmax: found, and attended.
 *
 * @module
 */
import { HeadClustersParams, PutHeadsParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { MOST_DIM } from './attention-call.ts';
import { overTokens } from './tokens.ts';

/** How heads are compared. */
export interface HeadComparison {
  /** [B, T, Hq, D] and [B, T, Hkv, D]: f32, f16 or bf16. */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly scale: number;
  readonly clusters: number;
  /** First tokens whose softmax rows are compared; at most T. */
  readonly tokens: number;
  readonly causal: boolean;
}

/** Adds labels i32 [B, Hq]: the first head of each head's cluster. */
export function headClusters(b: Builder, comparison: HeadComparison, labels: Tensor): void {
  const { q, k, scale, clusters, tokens, causal } = comparison;
  const [batch, , heads, d] = q.shape as [number, number, number, number];
  const params = encode(HeadClustersParams, {
    qType: storageOf(q),
    kType: storageOf(k),
    labels: labels.address,
    heads,
    group: heads / k.shape[2]!,
    d,
    tokens,
    clusters,
    causal: causal ? 1 : 0,
    scale,
  });
  encodePlaces(HeadClustersParams, params, { q, k });
  b.dispatch({
    kernel: 'headClusters',
    params,
    items: batch,
    scratchBytes: b.runtime.scratchBytes('headClustersScratchBytes', params),
    flops: batch * heads * (2 * tokens * tokens * (d + heads) + heads * heads),
  });
}

/** Heads that one softmax serves. */
export interface HeadGroup {
  /** The head whose query and key make it. */
  readonly first: number;
  /** Ascending, the first among them. */
  readonly members: readonly number[];
}

/** Groups of heads by the labels of one batch entry: as many members in one as their values fit in one head of the engines. */
export function headGroups(labels: ArrayLike<number>, dv: number): HeadGroup[] {
  const byFirst = new Map<number, number[]>();
  for (let h = 0; h < labels.length; ++h) {
    const members = byFirst.get(labels[h]!);
    if (members) members.push(h);
    else byFirst.set(labels[h]!, [h]);
  }
  const most = Math.floor(MOST_DIM / dv);
  return [...byFirst].flatMap(([first, members]) =>
    Array.from({ length: Math.ceil(members.length / most) }, (_, part) => ({
      first,
      members: members.slice(part * most, (part + 1) * most),
    })),
  );
}

/** Heads [first, first + n) of x [B, T, H, D] as one of n D elements, if they lie side by side. */
export function sideBySide(x: Tensor, first: number, n: number): Tensor | undefined {
  const [batch, length, , d] = x.shape as [number, number, number, number];
  if (n > 1 && x.strides[2] !== d) return undefined;
  const [strideB, strideT] = x.strides as [number, number];
  return x.slice(2, first, first + n).restride([batch, length, 1, n * d], [strideB, strideT, n * d, 1]);
}

/** Adds o [B, T, H, D] = heads order i32 [H] of x [B, T, X, D]; o is f32, f16 or bf16, x f32 or of o's type. */
export function putHeads(b: Builder, x: Tensor, order: Tensor, o: Tensor): void {
  const places = { x: x.restride(o.shape, x.strides), o };
  const types = { xType: storageOf(x), oType: storageOf(o), order: order.address };
  overTokens(b, 'putHeads', PutHeadsParams, places, types, { flops: 1, elements: 8192 });
}
