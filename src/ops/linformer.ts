/**
 * Linformer.
 *
 * @module
 */
import { expectNames, expectRows, expectTensor, expectTypes, matchShapes } from '../engines/shapes.ts';
import { projectTokens } from '../engines/token-projection.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, attend, attentionCall } from './attention.ts';

/** Operands of `linformer`. */
export interface LinformerInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; likewise. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv]; likewise. */
  readonly v: Tensor;
  /** f32 [K, Tk], shared by all heads, or [Hkv, K, Tk]: learned map of the keys' tokens to K rows. */
  readonly projK: Tensor;
  /** f32, of either shape with the same K: the values' map. Default projK. */
  readonly projV?: Tensor;
}

/** Options of `linformer`. */
export type LinformerOptions = Pick<AttentionOptions, 'scale'>;

const OP = 'linformer';

/** Lays out the call. */
export function planLinformer(b: Builder, inputs: LinformerInputs, options: LinformerOptions): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'projK', 'projV']);
  expectNames(OP, 'option', options, ['scale']);
  const { q, k, v, projK, projV = projK } = inputs;
  expectTensor(OP, 'projK', projK, '[K, Tk] or [Hkv, K, Tk]');
  expectTensor(OP, 'projV', projV, '[K, Tk] or [Hkv, K, Tk]');
  const map = (x: Tensor) => (x.shape.length === 3 ? 'Hkv K Tk' : 'K Tk');
  matchShapes(
    OP,
    { q, k, v, projK, projV },
    { q: 'B Tq Hq D', k: 'B Tk Hkv D', v: 'B Tk Hkv Dv', projK: map(projK), projV: map(projV) },
  );
  expectTypes(OP, { q, k, v }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { projK, projV }, ['f32']);
  expectRows(OP, { k, v, projK, projV });
  if (projK.shape.at(-2) === 0) {
    throw new ShapeError(`${OP}: projK has shape [${projK.shape}]; it must map the keys to at least one row`);
  }
  const projected = { k: projectTokens(b, k, projK), v: projectTokens(b, v, projV) };
  const call = attentionCall(b, OP, { q, ...projected }, { scale: options.scale });
  attend(b, { ...call, lse: undefined });
  b.drop(call.lse);
  b.note(() => `${k.shape[1]} keys and values are mapped to ${projK.shape.at(-2)} rows`);
  return { o: call.o };
}

/**
 * Softmax attention over K linear combinations of all keys and values: o = softmax(scale q (E k)^T) (F v), E = projK and F = projV
 * learned for one length of sequence. Not causal.
 *
 * Source: Linformer (Wang 2020); reference implementation lucidrains, linformer.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await linformer({ q, k, v, projK, projV })
 */
export function linformer(inputs: LinformerInputs, options: LinformerOptions = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planLinformer(b, inputs, options));
}

/** As `linformer`, to the end before it returns. */
export function linformerSync(inputs: LinformerInputs, options: LinformerOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planLinformer(b, inputs, options));
}
