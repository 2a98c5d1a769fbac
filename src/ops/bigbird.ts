/**
 * Windows, global blocks and random blocks.
 *
 * @module
 */
import { type PatternInputs, type PatternOptions, type PatternResult, patternCall } from '../engines/pattern-call.ts';
import { integers, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { bigbird as bigbirdPattern } from '../patterns/global.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { maskedAttend } from './masked.ts';

/** Operands of `bigbird`. */
export interface BigbirdInputs extends PatternInputs {
  /** i32 [Hq, n - 2, r] for n blocks: further key blocks of each query block but the first and the last. Default: random ones. */
  readonly randBlocks?: Tensor;
}

/** Options of `bigbird`. */
export interface BigbirdOptions extends PatternOptions {
  /** Tokens of a block; the last may be shorter. Default 64. */
  readonly blockSize?: number;
  /** Random blocks of a query block, none of which it sees anyway. Default 3. */
  readonly randomBlocks?: number;
  /** Chooses them, each head's its own. Default 0. */
  readonly seed?: number;
}

const OP = 'bigbird';
/** Query blocks of the engine, within these limits, are those of the pattern. */
const LEAST_ROWS = 48;
const MOST_ROWS = 192;

/** The given blocks of each head. @throws ShapeError if they do not fit. */
function givenBlocks(randBlocks: Tensor, heads: number, n: number): Int32Array[] {
  const [, rows, r] = randBlocks.shape as [number, number, number];
  if (rows !== Math.max(0, n - 2)) {
    throw new ShapeError(
      `${OP}: randBlocks has shape [${randBlocks.shape}], expected [${heads}, ${Math.max(0, n - 2)}, r]: there are ${n} blocks`,
    );
  }
  const blocks = integers(OP, 'randBlocks', randBlocks);
  const wrong = blocks.find((block) => block < 0 || block >= n);
  if (wrong !== undefined) {
    throw new ShapeError(`${OP}: randBlocks holds ${wrong}, expected 0 to ${n - 1}: there are ${n} blocks`);
  }
  return Array.from({ length: heads }, (_, h) => blocks.subarray(h * rows * r, (h + 1) * rows * r));
}

/** Lays out the call. */
export function planBigbird(b: Builder, inputs: BigbirdInputs, options: BigbirdOptions): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, {
    inputs: { randBlocks: '?Hq N R' },
    options: ['blockSize', 'randomBlocks', 'seed'],
  });
  const blockSize = whole(OP, 'blockSize', options.blockSize, 64, 1);
  const { randBlocks } = inputs;
  const given = ['randomBlocks', 'seed'].find((name) => name in options);
  if (randBlocks && given) throw new OptionError(`${OP}: ${given} was given with randBlocks; leave one of them out`);
  const pattern = bigbirdPattern({
    blockSize,
    randomBlocks: whole(OP, 'randomBlocks', options.randomBlocks, 3, 0),
    seed: whole(OP, 'seed', options.seed, 0, 0),
    ...(randBlocks && { given: givenBlocks(randBlocks, sizes.Hq, Math.ceil(sizes.T / blockSize)) }),
  });
  const rows = blockSize >= LEAST_ROWS && blockSize <= MOST_ROWS ? blockSize : undefined;
  maskedAttend(b, call, pattern, rows);
  return { o: call.o, lse: call.lse };
}

/**
 * Attention by blocks: each block of queries sees the first and the last block of keys, its own with both neighbours, and random ones, given or
 * seeded; the first and the last block of queries see all keys.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq].
 *
 * Source: BigBird (Zaheer 2020); reference implementation google-research/bigbird, block-sparse attention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await bigbird({ q, k, v }, { blockSize: 64, randomBlocks: 3, seed: 1 })
 */
export function bigbird(inputs: BigbirdInputs, options: BigbirdOptions = {}): Promise<PatternResult> {
  return run(OP, inputs, (b) => planBigbird(b, inputs, options));
}

/** As `bigbird`, to the end before it returns. */
export function bigbirdSync(inputs: BigbirdInputs, options: BigbirdOptions = {}): PatternResult {
  return runSync(OP, inputs, (b) => planBigbird(b, inputs, options));
}
