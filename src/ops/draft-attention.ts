/**
 * Draft attention.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import { BoxOrder, boxesOf, expectGrid, type GridShape, gridOption } from '../engines/grid.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { expectNames, finite, flag } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';
import type { VsaInputs } from './vsa.ts';

/** Operands of `draftAttention`. */
export type DraftAttentionInputs = Omit<VsaInputs, 'gate'>;

/** Options of `draftAttention`. */
export interface DraftAttentionOptions {
  /** Frames, height and width of the grid of tokens, which lie row by row. */
  readonly shape: GridShape;
  /** Height and width of a patch of one frame; those at the far edges may be smaller. Default [8, 16]. */
  readonly pool?: readonly [height: number, width: number];
  /** Share of the pairs of patches that each head keeps, from 0 to 1. Default 0.1. */
  readonly keep?: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether the kept patches are a result too. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `draftAttention`. */
export interface DraftAttentionResult {
  /** f32 [B, T, Hq, Dv]: zeros for the tokens of a patch that keeps no keys. */
  readonly o: Tensor;
  /** f32 [B, T, Hq] */
  readonly lse: Tensor;
  /** i32 [B, Hq, patches, ceil(patches / 32)]: bit c (word c >> 5, bit c & 31) shows a patch of queries patch c; with `returnSelection`. */
  readonly selection?: Tensor;
}

const OP = 'draftAttention';

/** Numbers [B, T, H] as rows of one. */
function asRows(x: Tensor): Tensor {
  return x.restride([...x.shape, 1], [...x.strides, 1]);
}

/** Lays out the call. */
export function planDraft(
  b: Builder,
  inputs: DraftAttentionInputs,
  options: DraftAttentionOptions,
): DraftAttentionResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  expectNames(OP, 'option', options, ['shape', 'pool', 'keep', 'scale', 'returnSelection']);
  const call = attentionCall(b, OP, inputs, { scale: options.scale });
  const { q, k, v, scale } = call;
  const shape = gridOption(OP, 'shape', options.shape) as unknown as GridShape;
  const [height, width] = gridOption(OP, 'pool', options.pool ?? [8, 16], 2) as [number, number];
  expectGrid(OP, shape, q, k);
  const share = finite(OP, 'keep', options.keep, 0.1, 0, 1);
  const keep = flag(OP, 'returnSelection', options.returnSelection);

  const boxes = boxesOf(shape, [1, height, width]);
  const order = new BoxOrder(b, boxes, q.shape[0]!);
  const [qBoxes, kBoxes, vBoxes] = [order.together(q), order.together(k), order.together(v)];
  const map = softmaxMap(b, scoreMap(b, { q: order.means(qBoxes), k: order.means(kBoxes), scale }));
  const cells = boxes.count * boxes.count;
  const bits = selectTopK(b, map, { k: cells - Math.floor((1 - share) * cells), scope: 'head' });
  const [o, lse] = [b.temporary(call.o.shape), b.temporary(call.lse.shape)];
  const selection = order.selection(bits, 'boxes', share);
  flashAttend(b, { ...call, q: qBoxes, k: kBoxes, v: vBoxes, o, lse }, { selection });
  order.apart(o, call.o);
  order.apart(asRows(lse), asRows(call.lse));
  return { o: call.o, lse: call.lse, ...(keep && { selection: b.keep(bits) }) };
}

/**
 * Attention over a video's tokens in patches of frames: the mean queries and keys of patches make a map of weights, of whose pairs
 * each head keeps all but the floor((1 - keep) n) with the least weight; the tokens of a patch attend to those of the kept patches.
 *
 * Source: DraftAttention (Shen 2025); reference implementation draft-attention, whose threshold keeps one pair more: the greatest of
 * those that its share leaves out.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await draftAttention({ q, k, v }, { shape: [8, 32, 32], pool: [8, 16], keep: 0.25 })
 */
export function draftAttention(
  inputs: DraftAttentionInputs,
  options: DraftAttentionOptions,
): Promise<DraftAttentionResult> {
  return run(OP, inputs, (b) => planDraft(b, inputs, options));
}

/** As `draftAttention`, to the end before it returns. */
export function draftAttentionSync(inputs: DraftAttentionInputs, options: DraftAttentionOptions): DraftAttentionResult {
  return runSync(OP, inputs, (b) => planDraft(b, inputs, options));
}
