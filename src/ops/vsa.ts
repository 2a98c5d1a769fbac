/**
 * Video sparse attention.
 *
 * @module
 */
import type { AttentionCall } from '../engines/attention-call.ts';
import { blend } from '../engines/blend.ts';
import { flashAttend } from '../engines/flash.ts';
import { BoxOrder, boxesOf, expectGrid, type GridShape, gridOption } from '../engines/grid.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { expectContiguous, expectNames, expectTypes, flag, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';

/** Operands of `vsa`. */
export interface VsaInputs {
  /** [B, T, Hq, D], T tokens of a grid row by row; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, T, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, T, Hkv, Dv] */
  readonly v: Tensor;
  /** f32 [B, T, Hq, Dv]: gate of the coarse branch. Default 1. */
  readonly gate?: Tensor;
}

/** Options of `vsa`. */
export interface VsaOptions {
  /** Frames, height and width of the grid of tokens. */
  readonly shape: GridShape;
  /** Frames, height and width of a cube; those at the far edges may be smaller. Default [4, 4, 4]. */
  readonly cube?: GridShape;
  /** Cubes of keys that each cube of queries and each head chooses. */
  readonly topk: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether the chosen cubes are a result too. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `vsa`. */
export interface VsaResult {
  /** f32 [B, T, Hq, Dv] */
  readonly o: Tensor;
  /** i32 [B, Hq, cubes, ceil(cubes / 32)]: bit c (word c >> 5, bit c & 31) shows a cube of queries cube c; with `returnSelection`. */
  readonly selection?: Tensor;
}

const OP = 'vsa';

/** Lays out the call. */
export function planVsa(b: Builder, inputs: VsaInputs, options: VsaOptions): VsaResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'gate']);
  expectNames(OP, 'option', options, ['shape', 'cube', 'topk', 'scale', 'returnSelection']);
  const { gate, ...rest } = inputs;
  const call = attentionCall(b, OP, rest, { scale: options.scale });
  b.drop(call.lse);
  const { q, k, v, scale } = call;
  const shape = gridOption(OP, 'shape', options.shape) as unknown as GridShape;
  const cube = gridOption(OP, 'cube', options.cube ?? [4, 4, 4]) as unknown as GridShape;
  expectGrid(OP, shape, q, k);
  if (options.topk === undefined) throw new OptionError(`${OP}: topk is missing, expected a whole number >= 0`);
  const topk = whole(OP, 'topk', options.topk, 0, 0);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  matchShapes(OP, { gate }, { gate: `?${call.o.shape.join(' ')}` });
  expectTypes(OP, { gate }, ['f32']);
  expectContiguous(OP, { gate });

  const boxes = boxesOf(shape, cube);
  const order = new BoxOrder(b, boxes, q.shape[0]!);
  const [qBoxes, kBoxes, vBoxes] = [order.together(q), order.together(k), order.together(v)];
  const means = { q: order.means(qBoxes), k: order.means(kBoxes), v: order.means(vBoxes) };
  // the softmax of a row keeps the order of its scores
  const bits = selectTopK(b, scoreMap(b, { q: means.q, k: means.k, scale }), { k: topk });
  const fine = b.temporary(call.o.shape);
  const density = Math.min(1, topk / boxes.count);
  const selection = order.selection(bits, 'boxes', density);
  flashAttend(b, { ...call, q: qBoxes, k: kBoxes, v: vBoxes, o: fine, lse: undefined }, { selection });
  order.apart(fine, call.o);
  const coarse = attendMeans(b, call, means, boxes.count);
  blend(b, coarse, call.o, { gate, row: b.constant(boxes.labels, [boxes.labels.length]), add: true });
  return { o: call.o, ...(keep && { selection: b.keep(bits) }) };
}

/** Adds attention of the means of boxes: [B, boxes, Hq, Dv]. */
function attendMeans(
  b: Builder,
  call: AttentionCall,
  means: Pick<AttentionCall, 'q' | 'k' | 'v'>,
  boxes: number,
): Tensor {
  const [batch, , heads, dv] = call.o.shape as [number, number, number, number];
  const o = b.temporary([batch, boxes, heads, dv]);
  const span = { qStart: 0, qLength: boxes, kStart: 0, kLength: boxes, offset: 0 };
  const sequences = Array.from({ length: batch }, (_, i) => ({ batch: i, ...span }));
  flashAttend(b, { ...call, ...means, o, lse: undefined, sequences });
  return o;
}

/**
 * Attention over a video's tokens in cubes: the mean queries of cubes attend to the mean keys and values of all cubes, whose outputs go
 * to all tokens of a cube by the gate, and every cube of queries attends to the tokens of the topk cubes with the highest weights.
 * o = gate * coarse + fine.
 *
 * Source: VSA (Zhang 2025); reference implementation FastVideo, video_sparse_attn.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await vsa({ q, k, v, gate }, { shape: [8, 16, 16], topk: 4 })
 */
export function vsa(inputs: VsaInputs, options: VsaOptions): Promise<VsaResult> {
  return run(OP, inputs, (b) => planVsa(b, inputs, options));
}

/** As `vsa`, to the end before it returns. */
export function vsaSync(inputs: VsaInputs, options: VsaOptions): VsaResult {
  return runSync(OP, inputs, (b) => planVsa(b, inputs, options));
}
