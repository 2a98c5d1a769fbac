/**
 * ASAM: adaptive sparse attention.
 *
 * @module
 */
import { adaptiveGate, branchShares, type GateWeights, poolSizes } from '../engines/adaptive-gate.ts';
import { attendClustered, attendHierarchical, attendRandom, strided } from '../engines/asam-patterns.ts';
import type { AttentionCall } from '../engines/attention-call.ts';
import { attendColumns } from '../engines/columns.ts';
import { asFloats } from '../engines/copy.ts';
import { flashAttend } from '../engines/flash.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';

/** Operands of `asam`: either `gate`, or x and all weights without which there is none. Weights are f32, as [out, in]. */
export interface AsamInputs {
  /** [B, T, H, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, T, H, D]; likewise. */
  readonly k: Tensor;
  /** [B, T, H, Dv]; likewise. */
  readonly v: Tensor;
  /** f32 [B, H]: share of the sparse branch, 0 to 1, in place of all that follows. */
  readonly gate?: Tensor;
  /** `[B, T, M]`: what q, k and v were made of; f32, f16 or bf16. */
  readonly x?: Tensor;
  /** [F, P], P the bins of all pools: M + M / 2 + M / 4 + ... */
  readonly featureWeight?: Tensor;
  /** [F] */
  readonly featureBias?: Tensor;
  /** [F] of the layer norm behind. */
  readonly normWeight?: Tensor;
  readonly normBias?: Tensor;
  /** [I, F] */
  readonly complexityWeight1?: Tensor;
  /** [I] */
  readonly complexityBias1?: Tensor;
  /** [H, I] */
  readonly complexityWeight2?: Tensor;
  /** [H] */
  readonly complexityBias2?: Tensor;
  /** As those of complexity. */
  readonly confidenceWeight1?: Tensor;
  readonly confidenceBias1?: Tensor;
  readonly confidenceWeight2?: Tensor;
  readonly confidenceBias2?: Tensor;
  /** [H] */
  readonly threshold?: Tensor;
  /** [1] */
  readonly temperature?: Tensor;
  /** f32 [H, C, D], for the pattern 'clustered'. */
  readonly centroids?: Tensor;
  /** f32 [scales, H], for the pattern 'hierarchical': logits of the scales' weights. Default: all alike. */
  readonly scaleWeights?: Tensor;
}

/** Patterns of the sparse branch. */
export type AsamPattern = 'local' | 'strided' | 'random' | 'clustered' | 'hierarchical';

/** Options of `asam`. */
export interface AsamOptions {
  /** Default 'hierarchical'. */
  readonly pattern?: AsamPattern;
  /** 'soft': both branches, weighted. 'hard': of each head the one that weighs more, the other is not computed. Default 'soft'. */
  readonly gating?: 'soft' | 'hard';
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** local: keys at most half of it away. Default 128. */
  readonly windowSize?: number;
  /** strided: every so many-th key is seen by all. Default 32. */
  readonly stride?: number;
  /** strided: keys at most so far away. Default 16. */
  readonly localWindow?: number;
  /** random: keys of each row. Default 128. */
  readonly numRandom?: number;
  /** random: chooses the keys; head h takes seed + h. Default 42. */
  readonly seed?: number;
  /** clustered: divisor of cosines. Default 0.5. */
  readonly clusterTemperature?: number;
  /** clustered: a pair is seen where the product of its soft assignments is above. Default 0.1. */
  readonly affinity?: number;
  /** hierarchical: strides, at most 6, each with a window of a quarter of it. Default [4, 16, 64]. */
  readonly scales?: readonly number[];
  /** Pools of the gate. Default 4. */
  readonly numPools?: number;
}

/** Results of `asam`. */
export interface AsamResult {
  /** f32 [B, T, H, Dv] */
  readonly o: Tensor;
  /** f32 [B, H], unless the gate was given: share of the sparse branch, and what it was made of. */
  readonly gate?: Tensor;
  readonly complexity?: Tensor;
  readonly confidence?: Tensor;
}

const OP = 'asam';
const PATTERNS: readonly AsamPattern[] = ['local', 'strided', 'random', 'clustered', 'hierarchical'];
const WEIGHTS = {
  featureWeight: 'F P',
  featureBias: '?F',
  normWeight: '?F',
  normBias: '?F',
  complexityWeight1: 'I F',
  complexityBias1: '?I',
  complexityWeight2: 'H I',
  complexityBias2: '?H',
  confidenceWeight1: 'I F',
  confidenceBias1: '?I',
  confidenceWeight2: 'H I',
  confidenceBias2: '?H',
  threshold: 'H',
  temperature: '1',
} as const;
const OPTIONS = [
  'pattern',
  'gating',
  'scale',
  'windowSize',
  'stride',
  'localWindow',
  'numRandom',
  'seed',
  'clusterTemperature',
  'affinity',
  'scales',
  'numPools',
];
const MOST_SCALES = 6;

/** Adds the gates that are to be found, or takes those given. */
function gatesOf(
  b: Builder,
  inputs: AsamInputs,
  options: AsamOptions,
  B: number,
  T: number,
  H: number,
): Omit<AsamResult, 'o'> & { gate: Tensor } {
  const { x, gate } = inputs;
  const weights = Object.fromEntries(Object.keys(WEIGHTS).map((name) => [name, inputs[name as keyof typeof WEIGHTS]]));
  if (gate) {
    const other = ['x', ...Object.keys(WEIGHTS)].find((name) => inputs[name as 'x']);
    if (other)
      throw new OptionError(`${OP}: gate and ${other} were both given; give the gate, or what it is made from`);
    matchShapes(OP, { gate }, { gate: `${B} ${H}` });
    expectTypes(OP, { gate }, ['f32']);
    expectContiguous(OP, { gate });
    return { gate };
  }
  const pools = whole(OP, 'numPools', options.numPools, 4, 1, 16);
  const lengths = { x: `${B} ${T} M`, ...WEIGHTS } as Record<string, string>;
  for (const [name, pattern] of Object.entries(lengths)) lengths[name] = pattern.replace(/\bH\b/, `${H}`);
  const sizes = matchShapes<string>(OP, { x, ...weights }, lengths) as Record<'M' | 'P', number>;
  const bins = poolSizes(sizes.M, pools).reduce((sum, n) => sum + n, 0);
  matchShapes(OP, { featureWeight: weights.featureWeight }, { featureWeight: `F ${bins}` });
  expectTypes(OP, { x }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, weights, ['f32']);
  expectRows(OP, { x });
  expectContiguous(OP, weights);
  const made = { gate: b.output([B, H]), complexity: b.output([B, H]), confidence: b.output([B, H]) };
  if (T === 0) throw new OptionError(`${OP}: x has no tokens to tell a gate from; give the gate itself`);
  const [strideB, strideT] = x!.strides as [number, number];
  const floats = asFloats(b, x!.restride([B, T, 1, sizes.M], [strideB, strideT, 0, 1]));
  const rows = floats.restride([B, T, sizes.M], [floats.strides[0]!, floats.strides[1]!, 1]);
  adaptiveGate(b, rows, weights as unknown as GateWeights, pools, made);
  return made;
}

/** Adds the sparse branch. */
function attendSparse(b: Builder, call: AttentionCall, inputs: AsamInputs, options: AsamOptions): void {
  const { pattern = 'hierarchical', scales = [4, 16, 64] } = options;
  const [, T, H] = call.q.shape as [number, number, number];
  const { centroids, scaleWeights } = inputs;
  switch (pattern) {
    case 'local': {
      const half = Math.floor(whole(OP, 'windowSize', options.windowSize, 128, 0) / 2);
      flashAttend(b, { ...call, window: [half, half] });
      return;
    }
    case 'strided': {
      const stride = whole(OP, 'stride', options.stride, 32, 1);
      attendColumns(b, call, strided(T, stride, whole(OP, 'localWindow', options.localWindow, 16, 0)));
      return;
    }
    case 'random':
      attendRandom(b, call, whole(OP, 'numRandom', options.numRandom, 128, 1), whole(OP, 'seed', options.seed, 42, 0));
      return;
    case 'clustered': {
      matchShapes(OP, { centroids }, { centroids: `${H} C ${call.q.shape[3]}` });
      expectTypes(OP, { centroids }, ['f32']);
      expectContiguous(OP, { centroids });
      if (centroids!.shape[1] === 0)
        throw new OptionError(`${OP}: centroids has shape [${centroids!.shape}]; there must be at least one`);
      const temperature = finite(OP, 'clusterTemperature', options.clusterTemperature, 0.5, Number.MIN_VALUE);
      attendClustered(b, call, centroids!, temperature, finite(OP, 'affinity', options.affinity, 0.1));
      return;
    }
    default: {
      if (!Array.isArray(scales) || scales.length < 1 || scales.length > MOST_SCALES) {
        throw new OptionError(`${OP}: scales is ${JSON.stringify(scales)}, expected 1 to ${MOST_SCALES} strides`);
      }
      for (const [n, scale] of scales.entries()) whole(OP, `scales[${n}]`, scale, 1, 1);
      matchShapes(OP, { scaleWeights }, { scaleWeights: `?${scales.length} ${H}` });
      expectTypes(OP, { scaleWeights }, ['f32']);
      attendHierarchical(b, call, scales, scaleWeights);
    }
  }
}

/** Lays out the call. */
export function planAsam(b: Builder, inputs: AsamInputs, options: AsamOptions): AsamResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'gate', 'x', ...Object.keys(WEIGHTS), 'centroids', 'scaleWeights']);
  expectNames(OP, 'option', options, OPTIONS);
  const { pattern = 'hierarchical', gating = 'soft' } = options;
  if (!PATTERNS.includes(pattern)) {
    throw new OptionError(`${OP}: pattern is '${pattern}', expected ${PATTERNS.join(', ')}`);
  }
  if (gating !== 'soft' && gating !== 'hard') {
    throw new OptionError(`${OP}: gating is '${gating}', expected 'soft' or 'hard'`);
  }
  for (const [name, of] of [
    ['centroids', 'clustered'],
    ['scaleWeights', 'hierarchical'],
  ] as const) {
    if (inputs[name] && pattern !== of)
      throw new OptionError(`${OP}: ${name} is for the pattern '${of}', not '${pattern}'`);
  }
  const { q, k, v } = inputs;
  const { B, T, H } = matchShapes(OP, { q, k, v }, { q: 'B T H D', k: 'B T H D', v: 'B T H Dv' }) as Record<
    'B' | 'T' | 'H',
    number
  >;
  expectTypes(OP, { q, k, v }, ['f32', 'f16', 'bf16']);
  const call = attentionCall(b, OP, { q, k, v }, { scale: options.scale });
  b.drop(call.lse);
  const gates = gatesOf(b, inputs, options, B, T, H);
  const shares = branchShares(b, gates.gate, gating === 'hard');
  const branch = { ...call, lse: undefined };
  flashAttend(b, { ...branch, outScale: shares.dense });
  attendSparse(b, { ...branch, outScale: shares.sparse, accumulate: true }, inputs, options);
  b.note(() =>
    gating === 'hard'
      ? `each head of each batch entry takes one branch, dense or ${pattern}: the figures above count both`
      : `both branches are computed, dense and ${pattern}, but for gates of exactly 0 and 1`,
  );
  return inputs.gate ? { o: call.o } : { ...gates, o: call.o };
}

/**
 * Attention of which each head is a mixture of sparse and dense: o = g sparse + (1 - g) dense, with a gate for each batch entry and head,
 * g = sigmoid((threshold - complexity) * confidence / |temperature|). Complexity and confidence are two small networks' readings of x,
 * pooled at several scales. With gating 'hard' a head takes the branch that weighs more (sparse from above 1/2) and the other costs nothing.
 *
 * Sparse patterns, |i - j| the distance of a pair: local (at most windowSize / 2), strided (at most localWindow, or every stride-th key),
 * random (numRandom keys for each row of each head), clustered (soft assignments to centroids agree), hierarchical (strided at several
 * scales, of which those that show a pair weigh more than a half). Projections of x to q, k, v and of o are the caller's.
 *
 * Source: Li 2026; reference implementation li-guohao, asam-attention, whose random keys come from another generator.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await asam({ q, k, v, gate }, { pattern: 'strided', gating: 'hard' })
 */
export function asam(inputs: AsamInputs, options: AsamOptions = {}): Promise<AsamResult> {
  return run(OP, inputs, (b) => planAsam(b, inputs, options));
}

/** As `asam`, to the end before it returns. */
export function asamSync(inputs: AsamInputs, options: AsamOptions = {}): AsamResult {
  return runSync(OP, inputs, (b) => planAsam(b, inputs, options));
}
