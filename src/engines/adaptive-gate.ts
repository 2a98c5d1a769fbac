/**
 * The gate of ASAM: how much of each head is to be sparse, from its input pooled at several scales.
 *
 * @module
 */
import { AdaptiveGateParams, AdaptivePoolParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { evaluate } from './expression.ts';
import { poolBlocks } from './select/pool.ts';

/** Weights f32 of the gate's layers, as [out, in] and [out]. */
export interface GateWeights {
  /** [F, P] */
  readonly featureWeight: Tensor;
  readonly featureBias?: Tensor | undefined;
  /** [F] */
  readonly normWeight?: Tensor | undefined;
  readonly normBias?: Tensor | undefined;
  /** [I, F] */
  readonly complexityWeight1: Tensor;
  readonly complexityBias1?: Tensor | undefined;
  /** [H, I] */
  readonly complexityWeight2: Tensor;
  readonly complexityBias2?: Tensor | undefined;
  readonly confidenceWeight1: Tensor;
  readonly confidenceBias1?: Tensor | undefined;
  readonly confidenceWeight2: Tensor;
  readonly confidenceBias2?: Tensor | undefined;
  /** [H] and [1] */
  readonly threshold: Tensor;
  readonly temperature: Tensor;
}

/** Bins of each pool of inputs with `dim` channels: dim, dim / 2, dim / 4 ... */
export function poolSizes(dim: number, pools: number): number[] {
  return Array.from({ length: pools }, (_, i) => Math.max(1, Math.floor(dim / 2 ** i)));
}

/** First token of each bin and one past its last, pools one after another; bins of one pool overlap where they are not alike. */
function bins(length: number, sizes: readonly number[]): Int32Array {
  const edges = sizes.flatMap((size) =>
    Array.from({ length: size }, (_, i) => [Math.floor((i * length) / size), Math.ceil(((i + 1) * length) / size)]),
  );
  return Int32Array.from(edges.flat());
}

/** What the gate says of each head, f32 [B, H]. */
export interface Gates {
  readonly gate: Tensor;
  readonly complexity: Tensor;
  readonly confidence: Tensor;
}

/** Adds the gate of inputs x f32 [B, T, M], T > 0, into `o`. */
export function adaptiveGate(b: Builder, x: Tensor, weights: GateWeights, pools: number, o: Gates): void {
  const [B, T, M] = x.shape as [number, number, number];
  const [hidden, features] = weights.featureWeight.shape as [number, number];
  const rows = x.restride([B, T, 1, M], [x.strides[0]!, x.strides[1]!, 0, 1]);
  const pooled = b.temporary([B, features, 2]);
  b.dispatch({
    kernel: 'adaptivePool',
    params: encode(AdaptivePoolParams, {
      x: x.address,
      xStrideB: x.strides[0]!,
      xStrideT: x.strides[1]!,
      mean: poolBlocks(b, rows, T, 'mean').address,
      bins: b.table(bins(T, poolSizes(M, pools))),
      o: pooled.address,
      d: M,
      count: features,
    }),
    items: B * features,
    grain: 4,
    scratchBytes: 4 * M,
    flops: B * (pools * T + features) * M,
  });
  const places = Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => [name, (tensor as Tensor | undefined)?.address ?? 0]),
  );
  const inner = weights.complexityWeight1.shape[0]!;
  const heads = weights.threshold.shape[0]!;
  const params = encode(AdaptiveGateParams, places, {
    pooled: pooled.address,
    gate: o.gate.address,
    complexities: o.complexity.address,
    confidences: o.confidence.address,
    features,
    hidden,
    inner,
    heads,
  });
  b.dispatch({
    kernel: 'adaptiveGate',
    params,
    items: B,
    scratchBytes: b.runtime.scratchBytes('adaptiveGateScratchBytes', params),
    flops: 2 * B * (hidden * features + 2 * inner * (hidden + heads)),
  });
}

/** Shares of each branch, f32 [B, H]. */
export interface Shares {
  readonly sparse: Tensor;
  readonly dense: Tensor;
}

/** Adds the shares g and 1 - g of gates f32 [B, H], contiguous, or (`hard`) 1 for the larger of the two and 0 for the other. */
export function branchShares(b: Builder, gate: Tensor, hard: boolean): Shares {
  const [B, H] = gate.shape as [number, number];
  const x = { kind: 'input' } as const;
  const half = { kind: 'constant', value: 0.5 } as const;
  const one = { kind: 'constant', value: 1 } as const;
  const map = gate.reshape([1, 1, B, H]);
  const share = (operation: 'greater' | 'lessOrEqual' | 'sub' | undefined, y: typeof half | typeof one = half) => {
    const o = b.temporary([1, 1, B, H]);
    const operands = operation === 'sub' ? [y, x] : [x, y];
    evaluate(b, operation ? { kind: 'apply', operation, operands } : x, o, map);
    return o.reshape([B, H]);
  };
  if (hard) return { sparse: share('greater'), dense: share('lessOrEqual') };
  return { sparse: share(undefined), dense: share('sub', one) };
}
