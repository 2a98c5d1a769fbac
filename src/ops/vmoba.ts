/**
 * Video mixture of block attention.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import { type Boxes, BoxOrder, boxesOf, expectGrid, type GridShape, gridOption } from '../engines/grid.ts';
import { combineBits } from '../engines/select/bits.ts';
import { selectTopK, selectTopP } from '../engines/select/choose.ts';
import { minMaxGates } from '../engines/select/min-max.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { expectNames, finite, flag, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';
import type { MobaInputs, MobaResult } from './moba.ts';

/** Operands of `vmoba`, T tokens of a grid row by row. */
export type VmobaInputs = Omit<MobaInputs, 'kMean'>;

/** Options of `vmoba`. */
export interface VmobaOptions {
  /** Frames, height and width of the grid of tokens, which lie row by row. */
  readonly shape: GridShape;
  /**
   * Frames of a chunk (whole frames, 1-D); or height and width of a chunk that goes through all frames (2-D); or all three (3-D). Layers
   * of a model take turns with the three forms.
   */
  readonly chunk: number | readonly [height: number, width: number] | GridShape;
  /** Share of a query's normalised scores that its chunks hold at least, from 0 to 1. Default 0.25. */
  readonly threshold?: number;
  /** In place of the threshold: chunks of each query and head, its own counted. */
  readonly topk?: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether the chosen chunks are a result too. Default false. */
  readonly returnSelection?: boolean;
}

const OP = 'vmoba';

/** Frames, height and width of a chunk. */
function chunkOf(chunk: unknown, shape: GridShape): GridShape {
  const [frames, height, width] = shape;
  if (typeof chunk === 'number') return [whole(OP, 'chunk', chunk, 1, 1), height, width];
  if (Array.isArray(chunk) && chunk.length === 2) {
    const [y, x] = gridOption(OP, 'chunk', chunk, 2) as [number, number];
    return [frames, y, x];
  }
  return gridOption(OP, 'chunk', chunk) as unknown as GridShape;
}

/** Bits i32 [1, 1, T, W] of each token's own chunk. */
function ownBits(b: Builder, { labels, count }: Boxes): Tensor {
  const words = Math.ceil(count / 32);
  const bits = new Int32Array(labels.length * words);
  for (let i = 0; i < labels.length; ++i) bits[i * words + (labels[i]! >> 5)] = 1 << (labels[i]! & 31);
  return b.constant(bits, [1, 1, labels.length, words]);
}

/** Lays out the call. */
export function planVmoba(b: Builder, inputs: VmobaInputs, options: VmobaOptions): MobaResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  expectNames(OP, 'option', options, ['shape', 'chunk', 'threshold', 'topk', 'scale', 'returnSelection']);
  const call = attentionCall(b, OP, inputs, { scale: options.scale });
  const { q, k, v } = call;
  const shape = gridOption(OP, 'shape', options.shape) as unknown as GridShape;
  const boxes = boxesOf(shape, chunkOf(options.chunk, shape));
  expectGrid(OP, shape, q, k);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  if (options.topk !== undefined && options.threshold !== undefined) {
    throw new OptionError(`${OP}: threshold and topk were both given; they are two ways to choose. Leave one out.`);
  }
  const threshold = finite(OP, 'threshold', options.threshold, 0.25, 0, 1);
  const topk = options.topk === undefined ? undefined : whole(OP, 'topk', options.topk, 1, 1);

  // keys of a chunk must lie together; queries may stay where they are, since each has a choice of its own
  const order = new BoxOrder(b, boxes, q.shape[0]!);
  const [kBoxes, vBoxes] = [order.together(k), order.together(v)];
  const map = scoreMap(b, { q, k: order.means(kBoxes), scale: 1 });
  // as weights the own chunk counts first; among the topk it is the first
  const shares = minMaxGates(b, map, b.constant(boxes.labels, [boxes.labels.length]), threshold);
  const others = topk === undefined ? selectTopP(b, map, { p: shares }) : selectTopK(b, map, { k: topk - 1 });
  const bits = combineBits(b, others, ownBits(b, boxes), 'or');
  flashAttend(b, { ...call, k: kBoxes, v: vBoxes }, { selection: order.selection(bits, 'queries') });
  return { o: call.o, lse: call.lse, ...(keep && { selection: b.keep(bits) }) };
}

/**
 * Attention over a video's tokens in which every query and head chooses its own chunk and, of the others, the fewest whose mean key
 * has the largest product with the query: the products, between the least and the largest of the query's as 0 to 1, of its own chunk
 * and the chosen ones sum to `threshold` of all, and there is at least one other. A softmax over all keys of the chosen chunks.
 *
 * Source: VMoBA (Wu 2025); reference implementation moba_attn_varlen with threshold_type 'query_head'.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await vmoba({ q, k, v }, { shape: [8, 16, 16], chunk: [2, 8, 8], threshold: 0.25 })
 */
export function vmoba(inputs: VmobaInputs, options: VmobaOptions): Promise<MobaResult> {
  return run(OP, inputs, (b) => planVmoba(b, inputs, options));
}

/** As `vmoba`, to the end before it returns. */
export function vmobaSync(inputs: VmobaInputs, options: VmobaOptions): MobaResult {
  return runSync(OP, inputs, (b) => planVmoba(b, inputs, options));
}
