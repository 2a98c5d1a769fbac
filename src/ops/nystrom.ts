/**
 * Nyströmformer.
 *
 * @module
 */
import { centeredConv } from '../engines/conv.ts';
import { asFloats, repeatedHeads } from '../engines/copy.ts';
import { headProducts, landmarks, pseudoInverse } from '../engines/landmarks.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, attend, attentionCall } from './attention.ts';

/** Operands of `nystromAttention`. */
export interface NystromAttentionInputs {
  /** [B, T, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, T, Hkv, D], Hq a multiple of Hkv; likewise. */
  readonly k: Tensor;
  /** [B, T, Hkv, Dv]; likewise. */
  readonly v: Tensor;
  /** f32 [Hkv, taps], taps odd: a convolution of v along T, around each token, that is added to o. */
  readonly convWeight?: Tensor;
}

/** Options of `nystromAttention`. */
export interface NystromAttentionOptions extends Pick<AttentionOptions, 'scale'> {
  /** Landmarks, at most T; as many as tokens give exact attention. Default 64, or T if that is less. */
  readonly numLandmarks?: number;
  /** Iterations of the pseudo-inverse. Default 6. */
  readonly iterations?: number;
  /** What the first step of the pseudo-inverse is divided by: the largest column sum in the whole `batch`, so that results depend on what else is in it, or of each `head`'s matrix. Default 'batch'. */
  readonly normalizer?: 'batch' | 'head';
}

const OP = 'nystromAttention';

/** Lays out the call. */
export function planNystrom(
  b: Builder,
  inputs: NystromAttentionInputs,
  options: NystromAttentionOptions,
): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'convWeight']);
  expectNames(OP, 'option', options, ['numLandmarks', 'iterations', 'normalizer', 'scale']);
  const { q, k, v, convWeight } = inputs;
  const sizes = matchShapes<keyof NystromAttentionInputs>(
    OP,
    { ...inputs },
    { q: 'B T Hq D', k: 'B T Hkv D', v: 'B T Hkv Dv', convWeight: '?Hkv taps' },
  );
  const { T, Hq, Hkv, taps = 1 } = sizes as Record<'T' | 'Hq' | 'Hkv', number> & { taps?: number };
  expectTypes(OP, { q, k, v }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { convWeight }, ['f32']);
  expectContiguous(OP, { convWeight });
  const count = whole(OP, 'numLandmarks', options.numLandmarks, Math.min(64, Math.max(1, T)), 1);
  const iterations = whole(OP, 'iterations', options.iterations, 6, 0);
  const { normalizer = 'batch' } = options;
  if (normalizer !== 'batch' && normalizer !== 'head') {
    throw new OptionError(`${OP}: normalizer is '${normalizer}', expected 'batch' or 'head'`);
  }
  if (count > T && T > 0) {
    throw new OptionError(
      `${OP}: numLandmarks is ${count}, expected at most T = ${T}: each is the mean of some tokens`,
    );
  }
  if (taps % 2 === 0) {
    throw new ShapeError(
      `${OP}: convWeight has shape [${convWeight!.shape}]; its taps must be odd, to lie around a token`,
    );
  }
  const call = attentionCall(b, OP, { q, k, v }, { scale: options.scale });
  b.drop(call.lse);
  const group = Hq / Hkv;
  const exact = { ...call, lse: undefined, accumulate: convWeight !== undefined };
  if (convWeight) {
    const values = repeatedHeads(b, asFloats(b, v), group);
    centeredConv(b, values, repeatedRows(b, convWeight, group), call.o);
  }
  if (count >= T) {
    attend(b, exact);
    b.note(() => 'as many landmarks as tokens: exact attention');
    return { o: call.o };
  }
  const [qLandmarks, kLandmarks] = [landmarks(b, q, count), landmarks(b, k, count)];
  const between = softmaxMap(b, scoreMap(b, { q: qLandmarks, k: kLandmarks, scale: call.scale }));
  const inverse = pseudoInverse(b, between, iterations, normalizer === 'batch');
  const sums = b.temporary([q.shape[0]!, count, Hq, v.shape[3]!]);
  const spans = (qLength: number, kLength: number) =>
    call.sequences.map((span) => ({ ...span, qLength, kLength, offset: kLength - qLength }));
  attend(b, { ...call, lse: undefined, q: qLandmarks, o: sums, sequences: spans(count, T) });
  const keys = repeatedHeads(b, kLandmarks, group);
  attend(b, { ...exact, k: keys, v: headProducts(b, inverse, sums), sequences: spans(T, count) });
  b.note(() => `${count} landmarks for ${T} tokens, ${iterations} iterations of their pseudo-inverse`);
  return { o: call.o };
}

/** Rows [H * times, n] of x [H, n], each `times` times. */
function repeatedRows(b: Builder, x: Tensor, times: number): Tensor {
  if (times === 1) return x;
  const [heads, n] = x.shape as [number, number];
  return repeatedHeads(b, x.reshape([1, 1, heads, n]), times).reshape([heads * times, n]);
}

/**
 * Softmax attention by landmarks, the means of segments of tokens: o = softmax(scale q k~^T) pinv(softmax(scale q~ k~^T))
 * softmax(scale q~ k^T) v, and a convolution of v. Not causal. Where numLandmarks does not divide T, the last segments have one token more.
 *
 * Source: Nyströmformer (Xiong 2021); reference implementation transformers, NystromformerSelfAttention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await nystromAttention({ q, k, v }, { numLandmarks: 64 })
 */
export function nystromAttention(
  inputs: NystromAttentionInputs,
  options: NystromAttentionOptions = {},
): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planNystrom(b, inputs, options));
}

/** As `nystromAttention`, to the end before it returns. */
export function nystromAttentionSync(
  inputs: NystromAttentionInputs,
  options: NystromAttentionOptions = {},
): { o: Tensor } {
  return runSync(OP, inputs, (b) => planNystrom(b, inputs, options));
}
