/**
 * Attention inside shifted windows of an image.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import {
  expectOperands,
  type PatternCall,
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  required,
} from '../engines/pattern-call.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes, whole } from '../engines/shapes.ts';
import { everyBatch, reordered } from '../engines/token-order.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `swinAttention`: images [B, Y, X, H, D]. */
export interface SwinAttentionInputs extends PatternInputs {
  /** f32 [(2 windowSize - 1)^2, Hq]: added to the scores, row (dy + w - 1)(2w - 1) + dx + w - 1 for d = query - key. */
  readonly biasTable?: Tensor;
}

/** Options of `swinAttention`. */
export interface SwinAttentionOptions extends PatternOptions {
  /** Tokens of a window's side; both sides of the image are multiples of it. */
  readonly windowSize: number;
  /** By how much the image is rolled up and to the left before it is cut into windows. Default 0. */
  readonly shiftSize?: number;
}

const OP = 'swinAttention';

/** Along one axis: parts of a window that came from different borders; `edge` says whether it is the last window. */
function part(at: number, w: number, shift: number, edge: boolean): number {
  return edge && at >= w - shift ? 1 : 0;
}

/** f32 [heads, w^2, w^2]: biases of pairs within a window, -Infinity where the roll brought them together. */
function windowBias(
  b: Builder,
  table: Float32Array | undefined,
  heads: number,
  w: number,
  shift: number,
  [lastY, lastX]: readonly [boolean, boolean],
): Tensor {
  const area = w * w;
  const bias = b.temporary([1, heads, area, area]);
  const values = new Float32Array(heads * area * area);
  const region = Int32Array.from({ length: area }, (_, i) => {
    return 2 * part(Math.floor(i / w), w, shift, lastY) + part(i % w, w, shift, lastX);
  });
  for (let i = 0; i < area; ++i) {
    for (let j = 0; j < area; ++j) {
      const seen = region[i] === region[j];
      const row = (Math.floor(i / w) - Math.floor(j / w) + w - 1) * (2 * w - 1) + (i % w) - (j % w) + w - 1;
      for (let h = 0; h < heads; ++h) {
        values[(h * area + i) * area + j] = seen ? (table?.[row * heads + h] ?? 0) : Number.NEGATIVE_INFINITY;
      }
    }
  }
  bias.write(values);
  return bias;
}

/** Tokens of an image in the order of its windows, rolled. */
function windowOrder(height: number, width: number, w: number, shift: number): Int32Array {
  const order = new Int32Array(height * width);
  let n = 0;
  for (let y0 = 0; y0 < height; y0 += w) {
    for (let x0 = 0; x0 < width; x0 += w) {
      for (let y = y0; y < y0 + w; ++y) {
        for (let x = x0; x < x0 + w; ++x) order[n++] = ((y + shift) % height) * width + ((x + shift) % width);
      }
    }
  }
  return order;
}

/** Lays out the call: windows are the sequences of a batch, in up to four kinds by the borders they hold. */
export function planSwin(b: Builder, inputs: SwinAttentionInputs, options: SwinAttentionOptions): PatternResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'biasTable']);
  expectNames(OP, 'option', options, ['windowSize', 'shiftSize', 'scale']);
  const sizes = matchShapes<keyof SwinAttentionInputs>(
    OP,
    { ...inputs },
    { q: 'B Y X Hq D', k: 'B Y X Hkv D', v: 'B Y X Hkv Dv', biasTable: '?N Hq' },
  ) as Record<'B' | 'Y' | 'X' | 'Hq' | 'Hkv' | 'D' | 'Dv', number>;
  const { B, Y, X, Hq, D, Dv } = sizes;
  const { q, k, v, biasTable } = inputs;
  expectOperands(OP, { q, k, v }, sizes);
  expectTypes(OP, { biasTable }, ['f32']);
  expectContiguous(OP, { q, k, v });
  const w = required(OP, 'windowSize', options.windowSize, 1);
  const shift = whole(OP, 'shiftSize', options.shiftSize, 0, 0);
  if (shift >= w) throw new OptionError(`${OP}: shiftSize is ${shift}, expected less than the windowSize of ${w}`);
  if (Y % w !== 0 || X % w !== 0) {
    throw new ShapeError(
      `${OP}: windows of ${w} x ${w} do not cut an image of ${Y} x ${X} tokens; pad it to multiples of ${w}`,
    );
  }
  if (biasTable && biasTable.shape[0] !== (2 * w - 1) ** 2) {
    throw new ShapeError(`${OP}: biasTable has shape [${biasTable.shape}], expected [${(2 * w - 1) ** 2}, ${Hq}]`);
  }
  const tokens = Y * X;
  const [o, lse] = [b.output([B, Y, X, Hq, Dv]), b.output([B, Y, X, Hq])];
  const flat = (x: Tensor) => x.reshape([B, tokens, ...x.shape.slice(3)]);
  const call: PatternCall = {
    q: flat(q),
    k: flat(k),
    v: flat(v),
    o: flat(o),
    lse: flat(lse),
    sequences: [],
    scale: finite(OP, 'scale', options.scale, D ** -0.5),
    softcap: 0,
    window: [-1, -1],
  };
  const order = everyBatch(b, windowOrder(Y, X, w, shift), B, tokens);
  const [down, across] = [Y / w, X / w];
  const { ordered, restore } = reordered(b, call, order, [B * down * across, w * w]);
  const table = biasTable?.dataSync() as Float32Array | undefined;
  const kinds = new Map<number, (typeof ordered.sequences)[number][]>();
  for (const sequence of ordered.sequences) {
    const window = sequence.batch % (down * across);
    const edges =
      shift === 0 ? 0 : 2 * Number(Math.floor(window / across) === down - 1) + Number(window % across === across - 1);
    const kind = kinds.get(edges);
    if (kind) kind.push(sequence);
    else kinds.set(edges, [sequence]);
  }
  for (const [edges, sequences] of kinds) {
    const plain = edges === 0 && !table;
    const bias = plain ? undefined : windowBias(b, table, Hq, w, shift, [edges >= 2, edges % 2 === 1]);
    const seen = bias?.broadcast([ordered.q.shape[0]!, Hq, w * w, w * w]);
    b.reusing(() => flashAttend(b, { ...ordered, sequences, bias: seen }));
  }
  restore();
  return { o, lse };
}

/**
 * Attention inside windows of an image that is rolled by -shiftSize, with a bias for every displacement. Tokens that the roll brought
 * together from different borders do not see each other.
 *
 * Shapes: q [B, Y, X, Hq, D], k [B, Y, X, Hkv, D], v [B, Y, X, Hkv, Dv] -> o [B, Y, X, Hq, Dv], lse [B, Y, X, Hq].
 *
 * Source: Swin Transformer (Liu 2021); reference implementation microsoft/Swin-Transformer, WindowAttention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await swinAttention({ q, k, v, biasTable }, { windowSize: 7, shiftSize: 3 })
 */
export function swinAttention(inputs: SwinAttentionInputs, options: SwinAttentionOptions): Promise<PatternResult> {
  return run(OP, inputs, (b) => planSwin(b, inputs, options));
}

/** As `swinAttention`, to the end before it returns. */
export function swinAttentionSync(inputs: SwinAttentionInputs, options: SwinAttentionOptions): PatternResult {
  return runSync(OP, inputs, (b) => planSwin(b, inputs, options));
}
