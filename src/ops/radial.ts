/**
 * Windows that shrink as frames move apart.
 *
 * @module
 */
import {
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
  required,
} from '../engines/pattern-call.ts';
import { finite, whole } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type RadialOptions, radial } from '../patterns/video.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { maskedAttend } from './masked.ts';

/** Options of `radialAttention`. */
export interface RadialAttentionOptions extends PatternOptions, RadialOptions {}

const OP = 'radialAttention';
/** Query blocks of the engine, within these limits, are those of the pattern. */
const LEAST_ROWS = 48;
const MOST_ROWS = 192;

/** Lays out the call. */
export function planRadial(b: Builder, inputs: PatternInputs, options: RadialAttentionOptions): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, {
    options: ['frames', 'tokensPerFrame', 'decay', 'neighbor', 'blockSize'],
  });
  const video = {
    frames: required(OP, 'frames', options.frames, 1),
    tokensPerFrame: required(OP, 'tokensPerFrame', options.tokensPerFrame, 1),
    decay: finite(OP, 'decay', options.decay, 1, 0),
    neighbor: finite(OP, 'neighbor', options.neighbor, 1, 0, 1),
    blockSize: whole(OP, 'blockSize', options.blockSize, 128, 1),
  };
  const { frames, tokensPerFrame, blockSize } = video;
  if (frames * tokensPerFrame > sizes.T) {
    throw new ShapeError(
      `${OP}: ${frames} frames of ${tokensPerFrame} are ${frames * tokensPerFrame} tokens, but T is ${sizes.T}`,
    );
  }
  const rows = blockSize >= LEAST_ROWS && blockSize <= MOST_ROWS ? blockSize : undefined;
  maskedAttend(b, call, radial(video), rows);
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over a video whose frames see each other the less the further they are apart: near frames whole, then windows around the same
 * place that halve with every doubling of the distance, then only some frames; the first frame is seen by all. Tokens behind the frames,
 * such as text, see everything and are seen by everything.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq], T at least frames * tokensPerFrame.
 *
 * Source: Radial attention (Li 2025); reference implementation mit-han-lab/radial-attention. Where that cuts the last rows of a frame off its
 * blocks, here all count.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await radialAttention({ q, k, v }, { frames: 16, tokensPerFrame: 512 })
 */
export function radialAttention(inputs: PatternInputs, options: RadialAttentionOptions): Promise<PatternResult> {
  return run(OP, inputs, (b) => planRadial(b, inputs, options));
}

/** As `radialAttention`, to the end before it returns. */
export function radialAttentionSync(inputs: PatternInputs, options: RadialAttentionOptions): PatternResult {
  return runSync(OP, inputs, (b) => planRadial(b, inputs, options));
}
