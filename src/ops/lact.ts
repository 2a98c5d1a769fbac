/**
 * Test-time training on large chunks.
 *
 * @module
 */
import { expectHeadDim, positionsOf } from '../engines/fast-weight.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { swiglu } from '../engines/swiglu.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `lact`. */
export interface LactInputs {
  /** [B, T, H, K]; any storage type. */
  readonly q: Tensor;
  /** [B, T, H, K] */
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  /** f32 [B, T, H] or [B, T, H, 1]: learning rate of each token for w0. */
  readonly lr0: Tensor;
  /** Likewise for w1. */
  readonly lr1: Tensor;
  /** Likewise for w2. */
  readonly lr2: Tensor;
  /** Likewise: what stays of the momentum, averaged over a chunk. Default: no momentum. */
  readonly momentum?: Tensor;
  /** f32 [N, H, M, K]: the weights before the first token. */
  readonly w0: Tensor;
  /** f32 [N, H, V, M] */
  readonly w1: Tensor;
  /** f32 [N, H, M, K] */
  readonly w2: Tensor;
  /** f32 [N, H, 2 M + V]: the `norms` of the tokens before. Default: those of the rows of w0, w1, w2. */
  readonly initialNorms?: Tensor;
  /** f32 [N, H, P]: the `gradient` of the tokens before; goes with `initialPosition`. */
  readonly initialGradient?: Tensor;
  /** f32 [N, H, P]: the `finalMomentum` of the tokens before. Default zeros. */
  readonly initialMomentum?: Tensor;
  /** f32 [N, H]: the `factor` of the tokens before; goes with `initialPosition`. */
  readonly initialFactor?: Tensor;
  /** i32 [N]: the `position` of the tokens before. Default zeros. */
  readonly initialPosition?: Tensor;
  /** i32 [N + 1]: boundaries of sequences packed along T; B is then 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `lact`. */
export interface LactOptions {
  /** Tokens of a chunk. Default 2048. */
  readonly chunkSize?: number;
  /** Whether updates are made orthogonal by five Newton-Schulz steps. Default false. */
  readonly useMuon?: boolean;
}

/** Outputs of `lact`. P is (2 K + V) M, in the order of w0, w1, w2. */
export interface LactResult {
  /** f32 [B, T, H, V] */
  readonly o: Tensor;
  /** f32 [N, H, M, K]: the weights after the last whole chunk. */
  readonly w0: Tensor;
  /** f32 [N, H, V, M] */
  readonly w1: Tensor;
  /** f32 [N, H, M, K] */
  readonly w2: Tensor;
  /** f32 [N, H, 2 M + V]: norms that the rows of w0, w1 and w2 keep. */
  readonly norms: Tensor;
  /** f32 [N, H, P]: sum of the unfinished chunk's gradients; zeros where there are none. */
  readonly gradient: Tensor;
  /** i32 [N]: tokens of the unfinished chunk. */
  readonly position: Tensor;
  /** f32 [N, H, P]; absent without momentum. */
  readonly finalMomentum?: Tensor;
  /** f32 [N, H]: sum of the unfinished chunk's momentum factors; absent without momentum. */
  readonly factor?: Tensor;
}

/** Operands of `lactStep`: those of `lact` without the T axis, and the states, which are updated in place. */
export interface LactStepInputs
  extends Omit<
    LactInputs,
    'initialNorms' | 'initialGradient' | 'initialMomentum' | 'initialFactor' | 'initialPosition' | 'cuSeqlens'
  > {
  /** f32 [B, H, 2 M + V] */
  readonly norms: Tensor;
  /** f32 [B, H, P] */
  readonly gradient: Tensor;
  /** i32 [B] */
  readonly position: Tensor;
  /** f32 [B, H, P]; absent without momentum. */
  readonly momentumState?: Tensor;
  /** f32 [B, H]; absent without momentum. */
  readonly factor?: Tensor;
  /** f32 [B, H, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'lact';
const INPUTS = [
  'q',
  'k',
  'v',
  'lr0',
  'lr1',
  'lr2',
  'momentum',
  'w0',
  'w1',
  'w2',
  'initialNorms',
  'initialGradient',
  'initialMomentum',
  'initialFactor',
  'initialPosition',
  'cuSeqlens',
];

/** Lays out the call. */
export function planLact(b: Builder, inputs: LactInputs, options: LactOptions, into?: StepTarget): LactResult {
  expectNames(OP, 'input', inputs, INPUTS);
  expectNames(OP, 'option', options, ['chunkSize', 'useMuon']);
  const { q, k, v, lr0, lr1, lr2, momentum, w0, w1, w2, cuSeqlens, initialPosition } = inputs;
  const { initialNorms, initialGradient, initialMomentum, initialFactor } = inputs;
  const chunk = whole(OP, 'chunkSize', options.chunkSize, 2048, 1);
  const { useMuon = false } = options;
  if (typeof useMuon !== 'boolean') throw new OptionError(`${OP}: useMuon is ${useMuon}, expected true or false`);
  if (!momentum && (initialMomentum || initialFactor)) {
    throw new ShapeError(`${OP}: initialMomentum and initialFactor go with momentum, which is missing`);
  }
  const rate = (x: Tensor | undefined) => (x?.shape?.length === 4 ? 'B T H 1' : 'B T H');
  const { B, T, H, K, V } = matchShapes(
    OP,
    { q, k, v, lr0, lr1, lr2, momentum },
    {
      q: 'B T H K',
      k: 'B T H K',
      v: 'B T H V',
      lr0: rate(lr0),
      lr1: rate(lr1),
      lr2: rate(lr2),
      momentum: `?${rate(momentum)}`,
    },
  ) as Record<'B' | 'T' | 'H' | 'K' | 'V', number>;
  expectHeadDim(OP, 'q', K);
  expectHeadDim(OP, 'v', V);
  expectTypes(OP, { q, k, v }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { lr0, lr1, lr2, momentum }, ['f32']);
  expectRows(OP, { q, k, v });
  const spans = sequencesOf(OP, { B, Tq: T, Tk: T }, { cuSeqlens });
  const N = spans.length;
  const { M = 0 } = matchShapes(
    OP,
    { w0, w1, w2 },
    { w0: `${N} ${H} M ${K}`, w1: `${N} ${H} ${V} M`, w2: `${N} ${H} M ${K}` },
  );
  const needed = { initialNorms, initialGradient, ...(momentum && { initialMomentum, initialFactor }) };
  const positions = positionsOf(OP, initialPosition, N, chunk, needed);
  const P = (2 * K + V) * M;
  const final = {
    w0: carried(b, OP, 'w0', w0, [N, H, M, K], into),
    w1: carried(b, OP, 'w1', w1, [N, H, V, M], into),
    w2: carried(b, OP, 'w2', w2, [N, H, M, K], into),
    norms: carried(b, OP, 'initialNorms', initialNorms, [N, H, 2 * M + V], into),
    gradient: carried(b, OP, 'initialGradient', initialGradient, [N, H, P], into),
    ...(momentum && {
      momentum: carried(b, OP, 'initialMomentum', initialMomentum, [N, H, P], into),
      factor: carried(b, OP, 'initialFactor', initialFactor, [N, H], into),
    }),
  };
  const position = into ? initialPosition! : b.output([N], 'i32');
  const o = into?.o ?? b.output([B, T, H, V]);
  swiglu(b, {
    q,
    k,
    v,
    o,
    lr0,
    lr1,
    lr2,
    momentum,
    chunk,
    muon: useMuon,
    sequences: spans.map((span, n) => ({ ...span, offset: positions?.[n] ?? 0 })),
    initial: {
      w0,
      w1,
      w2,
      norms: initialNorms,
      gradient: initialGradient,
      momentum: initialMomentum,
      factor: initialFactor,
    },
    final,
    position,
  });
  const { momentum: finalMomentum, factor, ...rest } = final;
  return { o, ...rest, position, ...(finalMomentum && { finalMomentum, factor: factor! }) };
}

/**
 * Large-chunk test-time training: fast weights f(x) = w1 (silu(w0 x) * (w2 x)) are applied to a chunk's queries, then its keys move them along
 * the gradient of f(k) v, each token at its own rate for each matrix: g = sum over the chunk, plus the mean of `momentum` times the g of the
 * chunk before; with `useMuon` g's nearly orthogonal factor; w = w + g, its rows back at the norms they had at first. Unscaled.
 *
 * The last chunk updates the weights only if it is whole. A sequence may come in parts of any lengths, within chunks too, with all states
 * passed on: `initialNorms`, `initialGradient`, `initialPosition` and, with momentum, `initialMomentum` and `initialFactor`.
 *
 * Source: LaCT (Zhang 2025); reference implementation LaCT, block_causal_lact_swiglu, here in f32.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, w0: w0After } = await lact({ q, k, v, lr0, lr1, lr2, w0, w1, w2 }, { chunkSize: 2048, useMuon: true })
 */
export function lact(inputs: LactInputs, options: LactOptions = {}): Promise<LactResult> {
  return run(OP, inputs, (b) => planLact(b, inputs, options));
}

/** As `lact`, to the end before it returns. */
export function lactSync(inputs: LactInputs, options: LactOptions = {}): LactResult {
  return runSync(OP, inputs, (b) => planLact(b, inputs, options));
}

/**
 * One token of `lact`; the weights, `norms`, `gradient`, `position` and, with momentum, `momentumState` and `factor` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example lactStep({ q, k, v, lr0, lr1, lr2, w0, w1, w2, norms, gradient, position, o })
 */
export function lactStep(inputs: LactStepInputs, options: LactOptions = {}): { o: Tensor } {
  const states = {
    w0: 'w0',
    w1: 'w1',
    w2: 'w2',
    norms: 'initialNorms',
    gradient: 'initialGradient',
    position: 'initialPosition',
    ...(inputs.momentum && { momentumState: 'initialMomentum', factor: 'initialFactor' }),
  };
  const timed = ['v', 'q', 'k', 'lr0', 'lr1', 'lr2', ...(inputs.momentum ? ['momentum'] : [])];
  return runStep({ op: OP, timed, states }, inputs, (b, lifted, into) => planLact(b, lifted, options, into));
}
