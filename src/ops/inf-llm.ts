/**
 * InfLLM: a window, sinks, and blocks of memory that a few of their keys stand for.
 *
 * @module
 */
import { indexAttend } from '../engines/index-attention.ts';
import { rotaryAngles, rotate } from '../engines/rotary.ts';
import { selectIndices } from '../engines/select/bits.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { farTokens, representatives, wholeBlocks } from '../engines/select/far-tokens.ts';
import { reduceMap } from '../engines/select/reduce-map.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { sequencesOf } from '../engines/sequences.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  flag,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attend, attentionCall } from './attention.ts';
import type { ChosenTokenInputs } from './chosen-tokens.ts';

/** Operands of `infLlm`: queries and keys before their rotary embedding. */
export interface InfLlmInputs extends ChosenTokenInputs {
  /** `[B, floor((Tk - sinks) / block), Hkv, D]`: what stands for each whole block, as `infLlmBlocks` makes them; f32, f16 or bf16. Default the means of blocks. */
  readonly reps?: Tensor;
}

/** Sizes of blocks. */
export interface InfLlmBlockOptions {
  /** Keys of a block of memory. Default 128. */
  readonly block?: number;
  /** The first so many keys are seen in any case, and are in no block. Default 0. */
  readonly sinks?: number;
}

/** Options of `infLlm`. */
export interface InfLlmOptions extends InfLlmBlockOptions {
  /** Keys of the local window, the query's own counted, at least 1: they keep their distances. */
  readonly window: number;
  /** Blocks of memory of each query, the same for all heads. */
  readonly topk: number;
  /** Pair i turns by position * theta^(-2i / D). Default 10000. */
  readonly theta?: number;
  /** Pairs are neighbours instead of half a head apart. Default false. */
  readonly interleaved?: boolean;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether the chosen blocks are a result too. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `infLlm`. */
export interface InfLlmResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq] */
  readonly lse: Tensor;
  /** i32 [B, 1, Tq, min(topk, blocks)]: chosen blocks, ascending, -1 behind the last; with `returnSelection`. */
  readonly blocks?: Tensor;
}

/** Operands of `infLlmBlocks`. */
export interface InfLlmBlocksInputs {
  /** `[B, Tk, Hkv, D]`: keys before their rotary embedding; f32, f16 or bf16. */
  readonly k: Tensor;
  /** f32 [B, Hkv, Tk], contiguous: how much attention each key got while it was in the window. Without it all keys count alike. */
  readonly scores?: Tensor;
}

/** Options of `infLlmBlocks`. */
export interface InfLlmBlocksOptions extends InfLlmBlockOptions {
  /** Keys of the highest scores whose mean stands for a block. Default 4. */
  readonly reprTopk?: number;
}

/** Results of `infLlmBlocks`. */
export interface InfLlmBlocksResult {
  /** f32 [B, floor((Tk - sinks) / block), Hkv, D] */
  readonly reps: Tensor;
}

const OP = 'infLlm';
const BLOCKS = 'infLlmBlocks';

function sizesOf(op: string, { block, sinks }: InfLlmBlockOptions) {
  return { block: whole(op, 'block', block, 128, 1), first: whole(op, 'sinks', sinks, 0, 0) };
}

/** Lays out what stands for blocks. */
export function planInfLlmBlocks(
  b: Builder,
  inputs: InfLlmBlocksInputs,
  options: InfLlmBlocksOptions,
): InfLlmBlocksResult {
  expectNames(BLOCKS, 'input', inputs, ['k', 'scores']);
  expectNames(BLOCKS, 'option', options, ['block', 'sinks', 'reprTopk']);
  const { k, scores } = inputs;
  const sizes = matchShapes(BLOCKS, { k, scores }, { k: 'B Tk Hkv D', scores: '?B Hkv Tk' });
  const { B, Tk, Hkv, D } = sizes as Record<'B' | 'Tk' | 'Hkv' | 'D', number>;
  expectTypes(BLOCKS, { k }, ['f32', 'f16', 'bf16']);
  expectTypes(BLOCKS, { scores }, ['f32']);
  expectRows(BLOCKS, { k });
  expectContiguous(BLOCKS, { scores });
  const far = sizesOf(BLOCKS, options);
  const count = whole(BLOCKS, 'reprTopk', options.reprTopk, 4, 1);
  const reps = b.output([B, wholeBlocks(Tk, far), Hkv, D]);
  representatives(b, k, scores, { ...far, count }, reps);
  return { reps };
}

/** Adds x [B, T, H, D] turned by the given positions, one a token or one for all. */
function turned(b: Builder, x: Tensor, positions: readonly number[], base: number, interleaved: boolean): Tensor {
  const [, length, , d] = x.shape as [number, number, number, number];
  const half = d / 2;
  const angles = rotaryAngles(positions, half, base);
  const table = (numbers: Float32Array) => {
    const tensor = b.temporary([1, positions.length, half]);
    tensor.write(numbers);
    return tensor.restride([1, length, half], [0, positions.length === 1 ? 0 : half, 1]);
  };
  const o = b.temporary(x.shape);
  rotate(b, { x, o, cos: table(angles.cos), sin: table(angles.sin), rotated: d, interleaved });
  return o;
}

/** Lays out the call. */
export function planInfLlm(b: Builder, inputs: InfLlmInputs, options: InfLlmOptions): InfLlmResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'reps']);
  const names = ['block', 'sinks', 'window', 'topk', 'theta', 'interleaved', 'scale', 'returnSelection'];
  expectNames(OP, 'option', options, names);
  const { q, k, v, reps: given } = inputs;
  const call = attentionCall(b, OP, { q, k, v }, { causal: true, scale: options.scale });
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv] = k.shape as [number, number, number];
  if (D % 2 !== 0) throw new ShapeError(`${OP}: heads of ${D} numbers have no pairs to turn, expected an even number`);
  if (Tq > Tk) throw new ShapeError(`${OP}: ${Tq} queries and ${Tk} keys, expected a key of each query at least`);
  for (const name of ['window', 'topk'] as const) {
    if (options[name] === undefined) throw new OptionError(`${OP}: ${name} is missing, expected a whole number`);
  }
  const window = whole(OP, 'window', options.window, 1, 1);
  const topk = whole(OP, 'topk', options.topk, 0, 0);
  const theta = finite(OP, 'theta', options.theta, 10000, Number.MIN_VALUE);
  const interleaved = flag(OP, 'interleaved', options.interleaved);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  const far = sizesOf(OP, options);
  const count = wholeBlocks(Tk, far);
  matchShapes(OP, { reps: given }, { reps: `?${B} ${count} ${Hkv} ${D}` });
  expectTypes(OP, { reps: given }, ['f32', 'f16', 'bf16']);
  expectRows(OP, { reps: given });

  const near = Math.min(Tk, window + Tq - 1);
  const places = Array.from({ length: near }, (_, i) => i);
  const local = {
    ...call,
    q: turned(b, q, places.slice(near - Tq), theta, interleaved),
    k: turned(b, k.slice(1, Tk - near, Tk), places, theta, interleaved),
    v: v.slice(1, Tk - near, Tk),
    sequences: sequencesOf(OP, { B, Tq, Tk: near }, {}),
    window: [window - 1, 0] as const,
  };
  attend(b, local);

  const farQ = turned(b, q, [window], theta, interleaved);
  const reps = given ?? b.temporary([B, count, Hkv, D]);
  if (!given) representatives(b, k, undefined, { ...far, count: far.block }, reps);
  const visible = { mul: 1, add: Tk - Tq + 1 - window - far.first, div: far.block };
  const scores = reduceMap(b, scoreMap(b, { q: farQ, k: reps, scale: 1, visible }), { heads: Hq }, 'sum', { visible });
  const bits = selectTopK(b, scores, { k: topk, visible });
  const blocks = keep ? b.keep(selectIndices(b, bits, Math.min(topk, count)).indices) : undefined;
  const lists = farTokens(b, bits, { ...far, window, most: Math.min(topk, count), columns: Tk });
  indexAttend(b, { ...call, q: farQ, accumulate: 'join' }, lists);
  return { o: call.o, lse: call.lse, ...(blocks && { blocks }) };
}

/**
 * Causal attention on a local window with rotary distances, and beyond it on sinks, on the topk blocks of memory that suit a query best, and
 * on keys that make no whole block yet, all of those as if they were `window` tokens away: queries turned by the position `window`, keys not
 * at all. One softmax over all. A block's score is the sum over heads of the turned query's product with what stands for the block; it is
 * chosen for all heads. Queries are aligned with the last keys; q and k come before their rotary embedding.
 *
 * It is not causal attention with all blocks chosen either: distances beyond the window are lost. With a window of all tokens it is.
 *
 * Source: InfLLM (Xiao 2024); reference implementation thunlp/InfLLM, where queries of one chunk choose together.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { reps } = await infLlmBlocks({ k, scores }, { block: 128, sinks: 4, reprTopk: 4 })
 * const { o } = await infLlm({ q, k, v, reps }, { block: 128, sinks: 4, window: 1024, topk: 8 })
 */
export function infLlm(inputs: InfLlmInputs, options: InfLlmOptions): Promise<InfLlmResult> {
  return run(OP, inputs, (b) => planInfLlm(b, inputs, options));
}

/** As `infLlm`, to the end before it returns. */
export function infLlmSync(inputs: InfLlmInputs, options: InfLlmOptions): InfLlmResult {
  return runSync(OP, inputs, (b) => planInfLlm(b, inputs, options));
}

/**
 * What stands for each whole block of keys: the mean of its reprTopk keys with the highest scores, the earlier of equals.
 *
 * Source: InfLLM (Xiao 2024); reference implementation thunlp/InfLLM.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { reps } = await infLlmBlocks({ k, scores }, { block: 128, sinks: 4, reprTopk: 4 })
 */
export function infLlmBlocks(
  inputs: InfLlmBlocksInputs,
  options: InfLlmBlocksOptions = {},
): Promise<InfLlmBlocksResult> {
  return run(BLOCKS, inputs, (b) => planInfLlmBlocks(b, inputs, options));
}

/** As `infLlmBlocks`, to the end before it returns. */
export function infLlmBlocksSync(inputs: InfLlmBlocksInputs, options: InfLlmBlocksOptions = {}): InfLlmBlocksResult {
  return runSync(BLOCKS, inputs, (b) => planInfLlmBlocks(b, inputs, options));
}
