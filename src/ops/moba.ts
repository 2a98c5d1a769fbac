/**
 * Mixture of block attention.
 *
 * @module
 */
import { attendBlocks } from '../engines/block-choice.ts';
import { causalBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { expectNames, expectRows, expectTypes, flag, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';

/** Operands of `moba`. */
export interface MobaInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
  /** `[B, ceil(Tk / chunkSize), Hkv, D]`: the chunks' mean keys, where a cache has them; that of a query's own chunk is not read. */
  readonly kMean?: Tensor;
}

/** Options of `moba`. */
export interface MobaOptions {
  /** Keys of a chunk. */
  readonly chunkSize: number;
  /** Chunks of each query and head, its own counted: at least 1. */
  readonly topk: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether the chosen chunks are a result too. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `moba`. */
export interface MobaResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq] */
  readonly lse: Tensor;
  /** i32 [B, Hq, Tq, ceil(chunks / 32)]: bit c (word c >> 5, bit c & 31) of a query shows it chunk c; with `returnSelection`. */
  readonly selection?: Tensor;
}

const OP = 'moba';

/** Lays out the call. */
export function planMoba(b: Builder, inputs: MobaInputs, options: MobaOptions): MobaResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'kMean']);
  expectNames(OP, 'option', options, ['chunkSize', 'topk', 'scale', 'returnSelection']);
  const { kMean, ...rest } = inputs;
  const call = attentionCall(b, OP, rest, { causal: true, scale: options.scale });
  const { q, k } = call;
  for (const name of ['chunkSize', 'topk'] as const) {
    if (options[name] === undefined) throw new OptionError(`${OP}: ${name} is missing, expected a whole number >= 1`);
  }
  const chunk = whole(OP, 'chunkSize', options.chunkSize, 1, 1);
  const topk = whole(OP, 'topk', options.topk, 1, 1);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  const [B, Tk, Hkv, D] = k.shape as [number, number, number, number];
  matchShapes(OP, { kMean }, { kMean: `?${B} ${Math.ceil(Tk / chunk)} ${Hkv} ${D}` });
  expectTypes(OP, { kMean }, ['f32', 'f16', 'bf16']);
  expectRows(OP, { kMean });
  const visible = causalBlocks({ Tq: q.shape[1]!, Tk: k.shape[1]!, queryBlock: 1, keyBlock: chunk });
  const map = scoreMap(b, { q, k: kMean ?? poolBlocks(b, k, chunk, 'mean'), scale: 1, visible });
  const bits = selectTopK(b, map, { k: topk, visible, last: 1 });
  attendBlocks(b, call, { bits, keyBlock: chunk, count: topk });
  return { o: call.o, lse: call.lse, ...(keep && { selection: b.keep(bits) }) };
}

/**
 * Causal attention in which every query and head chooses its own chunk of keys and the topk - 1 earlier ones whose mean key has the
 * largest product with the query; a softmax over all chosen keys. Queries are aligned with the last keys.
 *
 * Source: MoBA (Lu 2025); reference implementation moba_attn_varlen_naive.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await moba({ q, k, v }, { chunkSize: 512, topk: 3 })
 */
export function moba(inputs: MobaInputs, options: MobaOptions): Promise<MobaResult> {
  return run(OP, inputs, (b) => planMoba(b, inputs, options));
}

/** As `moba`, to the end before it returns. */
export function mobaSync(inputs: MobaInputs, options: MobaOptions): MobaResult {
  return runSync(OP, inputs, (b) => planMoba(b, inputs, options));
}
