/**
 * Spatial and temporal bands of videos.
 *
 * @module
 */
import { multiply } from '../engines/binary.ts';
import { copyRows } from '../engines/copy.ts';
import { flashAttend } from '../engines/flash.ts';
import {
  headRuns,
  headsOf,
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
  wholeSequences,
} from '../engines/pattern-call.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { whole } from '../engines/shapes.ts';
import { everyBatch, gatherTokens, reordered } from '../engines/token-order.ts';
import { uniformFrom } from '../engines/uniform.ts';
import { OptionError, ShapeError } from '../errors.ts';
import {
  bandOf,
  sparseVideoGen as rule,
  type SparseVideoGenOptions,
  type VideoHead,
  videoBand,
} from '../patterns/video.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { maskedAttend } from './masked.ts';

/** Options of `sparseVideoGen`. */
export interface SparseVideoGenAttentionOptions extends PatternOptions, SparseVideoGenOptions {
  /** Kind of each query head, as `sparseVideoGenHeads` finds it. */
  readonly heads: readonly VideoHead[];
}

/** Options of `sparseVideoGenHeads`. */
export interface SparseVideoGenHeadsOptions extends PatternOptions, SparseVideoGenOptions {
  /** Queries that are tried. Default 64. */
  readonly rows?: number;
  /** Chooses them. Default 0. */
  readonly seed?: number;
}

const OP = 'sparseVideoGen';
const HEADS = 'sparseVideoGenHeads';

/** @throws ShapeError if the frames have more tokens than there are. */
function expectVideo(op: string, { frames, tokensPerFrame }: SparseVideoGenOptions, T: number): void {
  if (frames * tokensPerFrame > T) {
    throw new ShapeError(
      `${op}: ${frames} frames of ${tokensPerFrame} are ${frames * tokensPerFrame} tokens, but T is ${T}`,
    );
  }
}

/** Lays out the call: spatial heads as the tokens lie, temporal heads on tokens ordered by place. */
export function planSparseVideoGen(
  b: Builder,
  inputs: PatternInputs,
  options: SparseVideoGenAttentionOptions,
): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, {
    options: ['frames', 'tokensPerFrame', 'width', 'heads'],
  });
  const { B, T, Hq, Hkv } = sizes;
  const { frames, tokensPerFrame, width, heads } = options;
  const video = { frames, tokensPerFrame, width };
  bandOf(OP, video);
  expectVideo(OP, video, T);
  if (!Array.isArray(heads) || heads.length !== Hq || heads.some((kind) => kind !== 'spatial' && kind !== 'temporal')) {
    throw new OptionError(`${OP}: heads is ${JSON.stringify(heads)}, expected 'spatial' or 'temporal' for ${Hq} heads`);
  }
  const order = Int32Array.from({ length: T }, (_, t) =>
    t < frames * tokensPerFrame ? (t % frames) * tokensPerFrame + Math.floor(t / frames) : t,
  );
  const byPlace = heads.includes('temporal') ? everyBatch(b, order, B, T) : undefined;
  for (const { from, to, plan } of headRuns(heads, Hq / Hkv, (x, y) => x === y)) {
    const part = headsOf(call, from, to);
    b.reusing(() => {
      if (plan === 'spatial') {
        maskedAttend(b, part, videoBand(video));
        return;
      }
      const { ordered, restore } = reordered(b, part, byPlace!, [B, T]);
      maskedAttend(b, ordered, videoBand({ ...video, byPlace: true }));
      restore();
    });
  }
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over a video in which spatial heads see the tokens of near frames and the first frame, and temporal heads the tokens at near
 * places in all frames. Tokens behind the frames, such as text, see everything and are seen by everything.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq], T at least frames * tokensPerFrame.
 *
 * Source: Sparse VideoGen (Xi 2025); reference implementation svg-project/Sparse-VideoGen. Bands are not rounded to blocks.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const video = { frames: 16, tokensPerFrame: 512, width: 2 };
 * const heads = await sparseVideoGenHeads({ q, k, v }, video);
 * const { o } = await sparseVideoGen({ q, k, v }, { ...video, heads });
 */
export function sparseVideoGen(inputs: PatternInputs, options: SparseVideoGenAttentionOptions): Promise<PatternResult> {
  return run(OP, inputs, (b) => planSparseVideoGen(b, inputs, options));
}

/** As `sparseVideoGen`, to the end before it returns. */
export function sparseVideoGenSync(inputs: PatternInputs, options: SparseVideoGenAttentionOptions): PatternResult {
  return runSync(OP, inputs, (b) => planSparseVideoGen(b, inputs, options));
}

/** Squared errors [B, 2, Hq, Dv] of both kinds of heads on some rows, summed over the rows. */
function planHeads(b: Builder, inputs: PatternInputs, options: SparseVideoGenHeadsOptions): { errors: Tensor } {
  const { call, sizes } = patternCall(b, HEADS, inputs, options, {
    options: ['frames', 'tokensPerFrame', 'width', 'rows', 'seed'],
  });
  b.drop(call.o, call.lse);
  const { B, T, Hq, Dv } = sizes;
  const { frames, tokensPerFrame, width } = options;
  const video = { frames, tokensPerFrame, width };
  bandOf(HEADS, video);
  expectVideo(HEADS, video, T);
  const count = whole(HEADS, 'rows', options.rows, 64, 1);
  const uniform = uniformFrom(whole(HEADS, 'seed', options.seed, 0, 0));
  const tokens = Array.from({ length: count }, () => Math.floor(uniform() * frames * tokensPerFrame));
  const q = gatherTokens(b, call.q, everyBatch(b, tokens, B, T)).reshape([B, count, ...call.q.shape.slice(2)]);
  const full = b.temporary([B, count, Hq, Dv]);
  const lse = b.temporary([B, count, Hq]);
  const sequences = wholeSequences(B, T).map((s) => ({ ...s, qLength: count }));
  const rows = { ...call, q, lse, sequences };
  flashAttend(b, { ...rows, o: full });
  const minus = b.temporary([Hq]);
  minus.write(new Float32Array(Hq).fill(-1));
  const errors = b.output([B, 2, Hq, Dv]);
  for (const [kind, heads] of [['spatial'], ['temporal']].entries()) {
    const pattern = rule({ ...video, heads: heads as VideoHead[] });
    const mask = b.temporary([1, 1, count, T], 'u8');
    const seen = new Uint8Array(count * T);
    const place = { Tq: T, Tk: T, batch: 0, head: 0 };
    for (const [row, token] of tokens.entries()) {
      pattern.runs!(token, place, (first, end) =>
        seen.fill(1, row * T + Math.max(0, first), row * T + Math.min(T, end)),
      );
    }
    mask.write(seen);
    const difference = b.temporary(full.shape);
    copyRows(b, full, difference);
    const masked = { ...rows, o: difference, outScale: minus, accumulate: true };
    flashAttend(b, { ...masked, mask: mask.broadcast([B, Hq, count, T]) });
    multiply(b, difference, difference, difference);
    copyRows(b, poolBlocks(b, difference, count, 'sum'), errors.slice(1, kind, kind + 1));
  }
  return { errors };
}

/** The kind of each head with the smaller error. */
function kindsOf({ errors }: { errors: Tensor }): VideoHead[] {
  const [batches, , heads, dv] = errors.shape as [number, number, number, number];
  const sums = errors.dataSync();
  errors.dispose();
  const errorOf = (kind: number, h: number) => {
    let sum = 0;
    for (let batch = 0; batch < batches; ++batch) {
      const at = ((batch * 2 + kind) * heads + h) * dv;
      for (let c = 0; c < dv; ++c) sum += sums[at + c]!;
    }
    return sum;
  };
  return Array.from({ length: heads }, (_, h) => (errorOf(1, h) < errorOf(0, h) ? 'temporal' : 'spatial'));
}

/**
 * For each query head whether its spatial or its temporal band comes nearer to full attention, by the mean squared error of a few rows.
 *
 * Shapes: as `sparseVideoGen`.
 *
 * Source: the online profiling of Sparse VideoGen (Xi 2025).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const heads = await sparseVideoGenHeads({ q, k, v }, { frames: 16, tokensPerFrame: 512, width: 2 })
 */
export async function sparseVideoGenHeads(
  inputs: PatternInputs,
  options: SparseVideoGenHeadsOptions,
): Promise<VideoHead[]> {
  return kindsOf(await run(HEADS, inputs, (b) => planHeads(b, inputs, options)));
}

/** As `sparseVideoGenHeads`, to the end before it returns. */
export function sparseVideoGenHeadsSync(inputs: PatternInputs, options: SparseVideoGenHeadsOptions): VideoHead[] {
  return kindsOf(runSync(HEADS, inputs, (b) => planHeads(b, inputs, options)));
}
