/**
 * Running logarithms of sums of exponentials.
 *
 * @module
 */
import { logSumGates, scanSequences } from '../engines/scan.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `logCumsumExp`. */
export interface LogCumsumExpInputs {
  /** f32 [B, T, D] */
  readonly x: Tensor;
  /** f32 [B, D]: logarithm of the sum so far; default -Infinity, an empty one. */
  readonly initial?: Tensor;
}

/** Results of `logCumsumExp`. */
export interface LogCumsumExpResult {
  /** [B, T, D] */
  readonly o: Tensor;
  /** `[B, D]`: the last of o, or initial where T is 0. */
  readonly final: Tensor;
}

const OP = 'logCumsumExp';

/** Lays out the call. */
export function planLogCumsumExp(b: Builder, inputs: LogCumsumExpInputs, options: object = {}): LogCumsumExpResult {
  expectNames(OP, 'input', inputs, ['x', 'initial']);
  expectNames(OP, 'option', options, []);
  const { x, initial } = inputs;
  matchShapes(OP, { x, initial }, { x: 'B T D', initial: '?B D' });
  expectTypes(OP, { x, initial }, ['f32']);
  expectContiguous(OP, { x, initial });
  const o = b.output(x.shape);
  const final = b.output([x.shape[0]!, x.shape[2]!]);
  logSumGates(b, { spans: scanSequences(OP, x), like: x, initial, final, o });
  return { o, final };
}

/**
 * Logarithm of the running sum of exponentials along time: o_t = ln(e^initial + sum_{s <= t} e^{x_s}), safe for any x.
 *
 * Source: torch.logcumsumexp; the normaliser of ABC (Peng 2022) and LightNet (Qin 2024).
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { o, final } = await logCumsumExp({ x })
 */
export function logCumsumExp(inputs: LogCumsumExpInputs, options: object = {}): Promise<LogCumsumExpResult> {
  return run(OP, inputs, (b) => planLogCumsumExp(b, inputs, options));
}

/** As `logCumsumExp`, to the end before it returns. */
export function logCumsumExpSync(inputs: LogCumsumExpInputs, options: object = {}): LogCumsumExpResult {
  return runSync(OP, inputs, (b) => planLogCumsumExp(b, inputs, options));
}
