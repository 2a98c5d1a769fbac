/**
 * Twilight: tokens of another method's choice, as few as hold a share of the softmax by keys in four bits.
 *
 * @module
 */
import { indexAttend } from '../engines/index-attention.ts';
import { pastBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopP } from '../engines/select/choose.ts';
import { int4Keys, int4Scores, int4Width } from '../engines/select/int4.ts';
import { pickListed } from '../engines/select/listed.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { tokenLists } from '../engines/select/token-lists.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  flag,
  matchShapes,
} from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';
import type { ChosenTokenInputs, ChosenTokenResult } from './chosen-tokens.ts';

/** Operands of `twilight`. */
export interface TwilightInputs extends ChosenTokenInputs {
  /** i32 [B, Hq, Tq, n], contiguous: candidates of each query and head, ascending; what a base method returns with returnSelection. Default all. */
  readonly indices?: Tensor;
  /** i32 [B, Hq, Tq], contiguous: how many of them count; goes with indices. */
  readonly counts?: Tensor;
  /** u8 [B, Tk, Hkv, 8 ceil(D / 16)]: keys in four bits, as `twilightKeys` makes them. Made of k if absent. */
  readonly codes?: Tensor;
  /** f32 [B, Tk, Hkv, 2]: step and least of each key; goes with codes. */
  readonly range?: Tensor;
}

/** Options of `twilight`. */
export interface TwilightOptions {
  /** Share of the candidates' estimated softmax that is kept at least, from 0 to 1; one token is in any case. */
  readonly p: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether indices and counts are results too. Default false. */
  readonly returnSelection?: boolean;
}

/** Operands of `twilightKeys`. */
export interface TwilightKeysInputs {
  /** [B, Tk, Hkv, D]; f32, f16 or bf16. */
  readonly k: Tensor;
}

/** Results of `twilightKeys`. */
export interface TwilightKeysResult {
  /** u8 [B, Tk, Hkv, W], W = 8 ceil(D / 16): byte c holds the codes of channels c and c + W. */
  readonly codes: Tensor;
  /** f32 [B, Tk, Hkv, 2]: a key is least + step * code; [.., 0] is the step, [.., 1] the least. */
  readonly range: Tensor;
}

const OP = 'twilight';
const KEYS = 'twilightKeys';

/** Lays out the keys in four bits. */
export function planTwilightKeys(b: Builder, inputs: TwilightKeysInputs, options: object = {}): TwilightKeysResult {
  expectNames(KEYS, 'input', inputs, ['k']);
  expectNames(KEYS, 'option', options, []);
  const { k } = inputs;
  const sizes = matchShapes(KEYS, { k }, { k: 'B Tk Hkv D' }) as Record<'B' | 'Tk' | 'Hkv' | 'D', number>;
  const { B, Tk, Hkv, D } = sizes;
  expectTypes(KEYS, { k }, ['f32', 'f16', 'bf16']);
  expectRows(KEYS, { k });
  const keys = { codes: b.output([B, Tk, Hkv, int4Width(D)], 'u8'), range: b.output([B, Tk, Hkv, 2]) };
  int4Keys(b, k, keys);
  return keys;
}

/** Lays out the call. */
export function planTwilight(b: Builder, inputs: TwilightInputs, options: TwilightOptions): ChosenTokenResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'indices', 'counts', 'codes', 'range']);
  expectNames(OP, 'option', options, ['p', 'scale', 'returnSelection']);
  const { q, k, v, indices, counts, codes, range } = inputs;
  const call = attentionCall(b, OP, { q, k, v }, { causal: true, scale: options.scale });
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv] = k.shape as [number, number, number];
  if (!indices !== !counts || !codes !== !range) {
    throw new OptionError(`${OP}: indices and counts go together, and codes and range do`);
  }
  matchShapes(
    OP,
    { indices, counts, codes, range },
    {
      indices: `?${B} ${Hq} ${Tq} n`,
      counts: `?${B} ${Hq} ${Tq}`,
      codes: `?${B} ${Tk} ${Hkv} ${int4Width(D)}`,
      range: `?${B} ${Tk} ${Hkv} 2`,
    },
  );
  expectTypes(OP, { indices, counts }, ['i32']);
  expectTypes(OP, { codes }, ['u8']);
  expectTypes(OP, { range }, ['f32']);
  expectContiguous(OP, { indices, counts });
  expectRows(OP, { codes, range });
  if (options.p === undefined) throw new OptionError(`${OP}: p is missing, expected a share from 0 to 1`);
  const p = finite(OP, 'p', options.p, 1, 0, 1);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  const keys =
    codes && range
      ? { codes, range }
      : { codes: b.temporary([B, Tk, Hkv, int4Width(D)], 'u8'), range: b.temporary([B, Tk, Hkv, 2]) };
  if (!codes) int4Keys(b, k, keys);
  const none = { first: 0, last: 0 };
  const candidates = indices && counts ? { indices, counts } : tokenLists(b, [B, Hq, Tq], Tk, pastBlocks(q, k, 1));
  const weights = softmaxMap(b, int4Scores(b, q, keys, call.scale, candidates, none));
  const most = candidates.indices.shape[3]!;
  const lists = pickListed(b, candidates, selectTopP(b, weights, { p }), most, Tk, none);
  indexAttend(b, call, lists);
  return {
    o: call.o,
    lse: call.lse,
    ...(keep && { indices: b.keep(lists.indices), counts: b.keep(lists.counts) }),
  };
}

/**
 * Causal attention on the fewest candidates of each query and head that hold a share p of their softmax, by scores of keys in four bits.
 * Candidates are those of a base method, asked for generously; a step reads half a byte of each of their channels, and the tokens that are
 * left. With p = 1 it is attention on all candidates. Queries are aligned with the last keys.
 *
 * Without candidates a list of all tokens is made for each query and head: for few queries.
 *
 * Source: Twilight (Lin 2025); reference implementation tsinghua-ideal/Twilight.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { indices, counts } = await doubleSparsity({ q, k, v, channels, labels }, { topk: 2048, returnSelection: true })
 * const { o } = await twilight({ q, k, v, indices, counts, codes, range }, { p: 0.9 })
 */
export function twilight(inputs: TwilightInputs, options: TwilightOptions): Promise<ChosenTokenResult> {
  return run(OP, inputs, (b) => planTwilight(b, inputs, options));
}

/** As `twilight`, to the end before it returns. */
export function twilightSync(inputs: TwilightInputs, options: TwilightOptions): ChosenTokenResult {
  return runSync(OP, inputs, (b) => planTwilight(b, inputs, options));
}

/**
 * Keys in four bits, each between the least and the largest of its elements: what `twilight` estimates scores by.
 *
 * Source: Twilight (Lin 2025), whose second cache of keys is of four bits.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { codes, range } = await twilightKeys({ k })
 */
export function twilightKeys(inputs: TwilightKeysInputs): Promise<TwilightKeysResult> {
  return run(KEYS, inputs, (b) => planTwilightKeys(b, inputs));
}

/** As `twilightKeys`, to the end before it returns. */
export function twilightKeysSync(inputs: TwilightKeysInputs): TwilightKeysResult {
  return runSync(KEYS, inputs, (b) => planTwilightKeys(b, inputs));
}
