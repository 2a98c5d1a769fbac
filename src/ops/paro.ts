/**
 * Tokens of a volume in an order of axes that is each head's own.
 *
 * @module
 */
import { BlockMask } from '../block-mask.ts';
import { flashAttend } from '../engines/flash.ts';
import {
  headRuns,
  headsOf,
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
} from '../engines/pattern-call.ts';
import { everyBatch, reordered } from '../engines/token-order.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { perAxis } from '../patterns/checks.ts';
import { tokensOf } from '../patterns/grid.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';

/** Orders of the axes frame, height and width, the last one fastest. */
export type AxisOrder = 'fhw' | 'fwh' | 'hfw' | 'hwf' | 'wfh' | 'whf';

/** Options of `paroAttention`. */
export interface ParoAttentionOptions extends PatternOptions {
  /** Frames, height and width of the tokens, which lie frame by frame and row by row. */
  readonly grid: readonly [frames: number, height: number, width: number];
  /** For each query head the order in which its tokens are taken, or one for all. */
  readonly orders: AxisOrder | readonly AxisOrder[];
  /** For each query head the mask over its tokens in that order, or one for all; masks of one head each. Default: every token sees all. */
  readonly blockMasks?: BlockMask | readonly BlockMask[];
}

const OP = 'paroAttention';
const ORDERS: readonly AxisOrder[] = ['fhw', 'fwh', 'hfw', 'hwf', 'wfh', 'whf'];

/** Tokens in an order of axes; those behind the grid stay where they are. */
function tokensIn(order: AxisOrder, grid: readonly number[], length: number): Int32Array {
  const steps: Record<string, number> = { f: grid[1]! * grid[2]!, h: grid[2]!, w: 1 };
  const lengths: Record<string, number> = { f: grid[0]!, h: grid[1]!, w: grid[2]! };
  const [a, b, c] = order as unknown as [string, string, string];
  const tokens = Int32Array.from({ length }, (_, t) => t);
  let n = 0;
  for (let i = 0; i < lengths[a]!; ++i) {
    for (let j = 0; j < lengths[b]!; ++j) {
      for (let m = 0; m < lengths[c]!; ++m) tokens[n++] = i * steps[a]! + j * steps[b]! + m * steps[c]!;
    }
  }
  return tokens;
}

/** One for each head. @throws OptionError if there are not as many. */
function each<T>(name: string, value: T | readonly T[], heads: number): readonly T[] {
  const list = Array.isArray(value) ? (value as readonly T[]) : new Array<T>(heads).fill(value as T);
  if (list.length === heads) return list;
  throw new OptionError(
    `${OP}: there are ${list.length} ${name}, expected one for all or one for each of ${heads} heads`,
  );
}

/** Lays out the call: heads of one order and one mask that lie together are one attention. */
export function planParo(b: Builder, inputs: PatternInputs, options: ParoAttentionOptions): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, { options: ['grid', 'orders', 'blockMasks'] });
  const { B, T, Hq, Hkv } = sizes;
  const grid = perAxis(OP, 'grid', options.grid, 3, 1);
  if (tokensOf(grid) > T) {
    throw new ShapeError(`${OP}: a grid of ${grid.join(' x ')} has ${tokensOf(grid)} tokens, but T is ${T}`);
  }
  const orders = each<AxisOrder>('orders', options.orders, Hq);
  for (const order of orders) {
    if (!ORDERS.includes(order)) {
      throw new OptionError(`${OP}: an order is '${order}', expected one of ${ORDERS.join(', ')}`);
    }
  }
  const masks = each<BlockMask | undefined>('blockMasks', options.blockMasks, Hq);
  for (const mask of masks) {
    if (mask !== undefined && !(mask instanceof BlockMask)) {
      throw new OptionError(`${OP}: a block mask is ${mask}, expected one made by blockMask()`);
    }
    if (mask && mask.shape[1] !== 1) {
      throw new ShapeError(
        `${OP}: a block mask has ${mask.shape[1]} heads, expected 1: give each head a mask of its own`,
      );
    }
  }
  const plans = orders.map((order, h) => ({ order, mask: masks[h] }));
  const same = (x: (typeof plans)[number], y: (typeof plans)[number]) => x.order === y.order && x.mask === y.mask;
  for (const { from, to, plan } of headRuns(plans, Hq / Hkv, same)) {
    const heads = headsOf(call, from, to);
    const blocks = plan.mask?.list;
    b.reusing(() => {
      if (plan.order === 'fhw') {
        flashAttend(b, { ...heads, blocks });
        return;
      }
      const { ordered, restore } = reordered(b, heads, everyBatch(b, tokensIn(plan.order, grid, T), B, T), [B, T]);
      flashAttend(b, { ...ordered, blocks });
      restore();
    });
  }
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over a volume whose tokens every head takes in an order of its own, in which what it attends to falls into few blocks, and a block
 * mask over that order. Tokens behind the grid keep their places.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq], T at least the tokens of the grid.
 *
 * Source: PAROAttention (Zhao 2025); reference implementation A-suozhang/PAROAttention, without its 8-bit products and its calibration.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const mask = blockMask(patterns.window(256), { Tq: 4096, Tk: 4096 });
 * const { o } = await paroAttention({ q, k, v }, { grid: [16, 16, 16], orders: ['fhw', 'hwf'], blockMasks: mask });
 */
export function paroAttention(inputs: PatternInputs, options: ParoAttentionOptions): Promise<PatternResult> {
  return run(OP, inputs, (b) => planParo(b, inputs, options));
}

/** As `paroAttention`, to the end before it returns. */
export function paroAttentionSync(inputs: PatternInputs, options: ParoAttentionOptions): PatternResult {
  return runSync(OP, inputs, (b) => planParo(b, inputs, options));
}
