/**
 * DeepSeek sparse attention.
 *
 * @module
 */
import { pastBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { selectScored } from '../engines/select/scored.ts';
import { expectNames, expectRows, expectTypes, flag, matchShapes, whole } from '../engines/shapes.ts';
import { attendTokens } from '../engines/token-choice.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';

/** Operands of `dsa`. */
export interface DsaInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16, bf16, or i8 with kScale. With Hkv = 1 the latent keys of MLA. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv], likewise; may be a view of k. */
  readonly v: Tensor;
  /** f32 [B, Tk, Hkv] */
  readonly kScale?: Tensor;
  /** f32 [B, Tk, Hkv] */
  readonly vScale?: Tensor;
  /** `[B, Tq, HI, DI]`: the indexer's queries; f32, f16 or bf16. */
  readonly qIdx: Tensor;
  /** `[B, Tk, DI]`: its keys, one head; f32, f16 or bf16. */
  readonly kIdx: Tensor;
  /** f32 [B, Tq, HI]: weights of its heads. */
  readonly wIdx: Tensor;
}

/** Options of `dsa`. */
export interface DsaOptions {
  /** Keys of each query, the same for all heads. Default 2048. */
  readonly topk?: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether indices and counts are results too. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `dsa`. */
export interface DsaResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq] */
  readonly lse: Tensor;
  /** i32 [B, 1, Tq, min(topk, Tk)]: chosen keys in ascending order, -1 behind the last; with `returnSelection`. */
  readonly indices?: Tensor;
  /** i32 [B, 1, Tq]: how many keys were chosen; with `returnSelection`. */
  readonly counts?: Tensor;
}

const OP = 'dsa';

/** Lays out the call. */
export function planDsa(b: Builder, inputs: DsaInputs, options: DsaOptions): DsaResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'kScale', 'vScale', 'qIdx', 'kIdx', 'wIdx']);
  expectNames(OP, 'option', options, ['topk', 'scale', 'returnSelection']);
  const { qIdx, kIdx, wIdx, ...rest } = inputs;
  const call = attentionCall(b, OP, rest, { causal: true, scale: options.scale });
  const [B, Tq] = call.q.shape as [number, number];
  const Tk = call.k.shape[1]!;
  const sizes = matchShapes(
    OP,
    { qIdx, kIdx, wIdx },
    { qIdx: `${B} ${Tq} HI DI`, kIdx: `${B} ${Tk} DI`, wIdx: `${B} ${Tq} HI` },
  );
  const { HI, DI } = sizes as Record<'HI' | 'DI', number>;
  if (HI < 1 || DI < 1) throw new OptionError(`${OP}: the indexer has ${HI} heads of ${DI} numbers, expected some`);
  expectTypes(OP, { qIdx, kIdx }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { wIdx }, ['f32']);
  expectRows(OP, { qIdx, kIdx, wIdx });
  const topk = whole(OP, 'topk', options.topk, 2048, 0);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  const keys = kIdx.restride([B, Tk, 1, DI], [kIdx.strides[0]!, kIdx.strides[1]!, 0, 1]);
  const visible = pastBlocks(call.q, call.k, 1);
  const scores = { q: qIdx, k: keys, weights: wIdx, scale: DI ** -0.5, visible };
  const bits = selectScored(b, scores, (map, slab) => selectTopK(b, map, { k: topk, ...slab }));
  return { o: call.o, lse: call.lse, ...attendTokens(b, call, bits, topk, keep) };
}

/**
 * Causal attention on the topk keys that a small indexer scores highest, one choice for all heads:
 * I_ij = sum_h w_ih relu(q^I_ih k^I_j / sqrt(DI)), o_i = softmax attention over the topk j <= i with the largest I_ij. Queries are
 * aligned with the last keys, so that a step of decoding is a call with Tq = 1.
 *
 * Source: DeepSeek-V3.2-Exp (2025); reference implementation fla, naive_dsa.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await dsa({ q, k, v, qIdx, kIdx, wIdx }, { topk: 1024 })
 */
export function dsa(inputs: DsaInputs, options: DsaOptions = {}): Promise<DsaResult> {
  return run(OP, inputs, (b) => planDsa(b, inputs, options));
}

/** As `dsa`, to the end before it returns. */
export function dsaSync(inputs: DsaInputs, options: DsaOptions = {}): DsaResult {
  return runSync(OP, inputs, (b) => planDsa(b, inputs, options));
}
