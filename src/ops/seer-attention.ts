/**
 * SeerAttention: blocks chosen by learned gates.
 *
 * @module
 */
import { copyRows } from '../engines/copy.ts';
import { headProducts } from '../engines/head-products.ts';
import { rotaryAngles, rotate } from '../engines/rotary.ts';
import { causalBlocks, ownBlocks } from '../engines/select/causal-blocks.ts';
import { selectAbove, selectTopK } from '../engines/select/choose.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { expectNames, expectRows, expectTypes, finite, flag, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';
import { attendChosen, type ChosenInputs, type ChosenOptions, type ChosenResult } from './chosen-blocks.ts';

/** Operands of `seerAttention`. */
export interface SeerAttentionInputs extends ChosenInputs {
  /** `[B, Tq, Hq, D]`: q before rotary positions, for the gates. Default q. */
  readonly qPre?: Tensor;
  /** `[B, Tk, Hkv, D]`: k before rotary positions. Default k. */
  readonly kPre?: Tensor;
  /** f32, f16 or bf16 [Hq, D, G]: the gates' map of queries. Default: none, with G = D. */
  readonly wq?: Tensor;
  /** f32, f16 or bf16 [Hkv, 3 D, G] or [Hq, 3 D, G]: the gates' map of each block's largest, least and mean key. */
  readonly wk: Tensor;
}

/** Options of `seerAttention`: one of topK, ratio and threshold. */
export interface SeerAttentionOptions extends ChosenOptions {
  /** Key blocks of a row. */
  readonly topK?: number;
  /** Share of all key blocks that a row sees, at least one. */
  readonly ratio?: number;
  /** Blocks whose weight among a row's visible ones is above it are seen. */
  readonly threshold?: number;
  /** Tokens of a block. Default 64. */
  readonly block?: number;
  /** Whether the last block of queries sees all blocks. Default false. */
  readonly lastDense?: boolean;
  /** Whether every row of causal attention sees the blocks of its own places. Default false. */
  readonly diagonal?: boolean;
  /** Row i sees key j only if j <= i + Tk - Tq. Default true. */
  readonly causal?: boolean;
  /** Base of the rotary positions of gates, pairs half of G apart, each block at the place of its first token; 0: none. Default 10000. */
  readonly ropeBase?: number;
}

const OP = 'seerAttention';

/** Turns x [B, N, H, G] in place, row n at place first + n * step. */
function turn(b: Builder, x: Tensor, first: number, step: number, base: number): void {
  const [, rows, , size] = x.shape as [number, number, number, number];
  const at = Float64Array.from({ length: rows }, (_, n) => first + n * step);
  const tables = Object.values(rotaryAngles(at, size / 2, base)).map((values) => {
    const tensor = b.temporary([1, rows, size / 2]);
    tensor.write(values);
    return tensor;
  }) as [Tensor, Tensor];
  rotate(b, { x, o: x, cos: tables[0], sin: tables[1], rotated: size, interleaved: false });
}

/** How blocks are chosen. @throws OptionError unless one way was given. */
function choiceOf(
  { topK, ratio, threshold }: SeerAttentionOptions,
  columns: number,
): { k: number } | { above: number } {
  const given = Object.entries({ topK, ratio, threshold }).filter(([, x]) => x !== undefined);
  if (given.length !== 1) {
    const names = given.map(([name]) => name).join(' and ') || 'none';
    throw new OptionError(`${OP}: ${names} of topK, ratio and threshold was given, expected one of them`);
  }
  if (threshold !== undefined) return { above: finite(OP, 'threshold', threshold, 0, 0, 1) };
  if (topK !== undefined) return { k: whole(OP, 'topK', topK, 0, 0) };
  return { k: Math.max(1, Math.floor(finite(OP, 'ratio', ratio, 0, 0, 1) * columns)) };
}

/** Lays out the call. */
export function planSeerAttention(
  b: Builder,
  inputs: SeerAttentionInputs,
  options: SeerAttentionOptions = {},
): ChosenResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'qPre', 'kPre', 'wq', 'wk']);
  const ways = ['topK', 'ratio', 'threshold'];
  const flags = ['lastDense', 'diagonal', 'causal', 'returnSelection'];
  expectNames(OP, 'option', options, [...ways, 'block', ...flags, 'ropeBase', 'scale']);
  const causal = flag(OP, 'causal', options.causal, true);
  const lastDense = flag(OP, 'lastDense', options.lastDense);
  const diagonal = flag(OP, 'diagonal', options.diagonal);
  flag(OP, 'returnSelection', options.returnSelection);
  const { q, k, v, qPre = q, kPre = k, wq, wk } = inputs;
  const { scale } = options;
  const call = attentionCall(b, OP, { q, k, v }, { causal, ...(scale !== undefined && { scale }) });
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv] = k.shape as [number, number, number];
  const { Hw, G } = matchShapes(
    OP,
    { qPre, kPre, wk, wq },
    { qPre: `${B} ${Tq} ${Hq} ${D}`, kPre: `${B} ${Tk} ${Hkv} ${D}`, wk: `Hw ${3 * D} G`, wq: `?${Hq} ${D} G` },
  ) as Record<'Hw' | 'G', number>;
  expectTypes(OP, { qPre, kPre, wk, wq }, ['f32', 'f16', 'bf16']);
  expectRows(OP, { qPre, kPre, wk, wq });
  if (Hw !== Hkv && Hw !== Hq) {
    throw new ShapeError(`${OP}: wk has ${Hw} heads, expected ${Hkv} as k or ${Hq} as q`);
  }
  if (!wq && G !== D) throw new ShapeError(`${OP}: wk leads to ${G} numbers, expected D = ${D}: there is no wq`);
  const base = finite(OP, 'ropeBase', options.ropeBase, 10000, 0);
  if (base > 0 && G % 2 !== 0) {
    throw new ShapeError(`${OP}: wk leads to ${G} numbers, expected an even number to turn, or ropeBase 0`);
  }
  const block = whole(OP, 'block', options.block, 64, 1);
  const sizes = { Tq, Tk, queryBlock: block, keyBlock: block };
  const columns = Math.ceil(Tk / block);
  const choice = choiceOf(options, columns);

  const pooled = b.temporary([B, columns, Hkv, 3 * D]);
  for (const [i, kind] of (['max', 'min', 'mean'] as const).entries()) {
    const part = poolBlocks(b, kPre, block, kind);
    if (part.size > 0) copyRows(b, part, pooled.slice(3, i * D, (i + 1) * D));
  }
  const mean = poolBlocks(b, qPre, block, 'mean');
  const gateK = headProducts(b, pooled, wk);
  const gateQ = wq ? headProducts(b, mean, wq) : mean;
  if (base > 0) {
    turn(b, gateQ, Tk - Tq, block, base);
    turn(b, gateK, 0, block, base);
  }
  const visible = causal ? causalBlocks(sizes) : undefined;
  const map = softmaxMap(b, scoreMap(b, { q: gateQ, k: gateK, scale: G ** -0.5, visible }), { visible });
  const forced = { visible, last: causal && diagonal ? ownBlocks(sizes) : 0 };
  const rows = map.shape[2]!;
  const each = <T extends number>(value: T, all: T, dtype: 'f32' | 'i32') =>
    lastDense && rows > 0 ? rowTensor(b, rows, value, all, dtype) : value;
  const bits =
    'above' in choice
      ? selectAbove(b, map, { threshold: each(choice.above, Number.NEGATIVE_INFINITY, 'f32'), ...forced })
      : selectTopK(b, map, { k: each(choice.k, columns, 'i32'), ...forced });
  return attendChosen(b, call, bits, sizes, options);
}

/** A tensor [1, 1, rows] that holds `value`, and `last` in the last row. */
function rowTensor(b: Builder, rows: number, value: number, last: number, dtype: 'f32' | 'i32'): Tensor {
  const tensor = b.temporary([1, 1, rows], dtype);
  tensor.write(Array.from({ length: rows }, (_, row) => (row === rows - 1 ? last : value)));
  return tensor;
}

/**
 * Softmax attention over the key blocks that learned gates choose. The mean of a block's queries, and the largest, least and mean of a
 * block's keys side by side, all before rotary positions, go through linear maps of their head and are turned by the place of their
 * block's first token; a softmax of their products over the visible key blocks, times G^-1/2, decides: blocks above `threshold` are
 * seen, or the `topK` or a `ratio` of the largest. A row all of whose blocks fall short sees nothing and gives zeros.
 *
 * Source: SeerAttention (Gao 2024), seer_attn/attn_gate.py.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @throws MemoryLimitError if the outputs or temporaries do not fit.
 * @example const { o } = await seerAttention({ q, k, v, qPre, kPre, wq, wk }, { threshold: 0.005 })
 */
export function seerAttention(inputs: SeerAttentionInputs, options: SeerAttentionOptions): Promise<ChosenResult> {
  return run(OP, inputs, (b) => planSeerAttention(b, inputs, options));
}

/** As `seerAttention`, to the end before it returns. */
export function seerAttentionSync(inputs: SeerAttentionInputs, options: SeerAttentionOptions): ChosenResult {
  return runSync(OP, inputs, (b) => planSeerAttention(b, inputs, options));
}
