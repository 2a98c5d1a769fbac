/**
 * Unit lower triangular systems.
 *
 * @module
 */
import { expectNames, expectRows, expectTypes, matchShapes } from '../engines/shapes.ts';
import { triSolveSystems } from '../engines/tri-solve.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `triSolve`. */
export interface TriSolveInputs {
  /** [B, C, C], of which only what is below the diagonal is read; f32, f16 or bf16, as b. */
  readonly a: Tensor;
  /** [B, C, N]. Default: the identity, so that x is the inverse. */
  readonly b?: Tensor;
}

const OP = 'triSolve';
/** Most rows of a matrix: a thread holds one. */
const MOST_ROWS = 1024;

/** Lays out the call. */
export function planTriSolve(builder: Builder, inputs: TriSolveInputs, options: object = {}): { x: Tensor } {
  expectNames(OP, 'input', inputs, ['a', 'b']);
  expectNames(OP, 'option', options, []);
  const { a, b } = inputs;
  const sizes = matchShapes<keyof TriSolveInputs>(OP, { ...inputs }, { a: 'B C C', b: '?B C N' });
  const { B, C, N = C } = sizes as Record<'B' | 'C', number> & { N?: number };
  if (C > MOST_ROWS) {
    throw new ShapeError(`${OP}: a has ${C} rows, expected at most ${MOST_ROWS}. Solve larger systems by blocks.`);
  }
  expectTypes(OP, { a, b }, ['f32', 'f16', 'bf16']);
  expectRows(OP, { a, b });
  const x = builder.output([B, C, N]);
  triSolveSystems(builder, a, b, x);
  return { x };
}

/**
 * Solves (I + A) x = b for a batch of matrices, A being what a has below its diagonal; without b, x is the inverse.
 *
 * Source: the UT transform (Joffrain 2006) of DeltaNet (Yang 2024); reference implementation fla, solve_tril.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { x } = await triSolve({ a, b })
 */
export function triSolve(inputs: TriSolveInputs, options: object = {}): Promise<{ x: Tensor }> {
  return run(OP, inputs, (builder) => planTriSolve(builder, inputs, options));
}

/** As `triSolve`, to the end before it returns. */
export function triSolveSync(inputs: TriSolveInputs, options: object = {}): { x: Tensor } {
  return runSync(OP, inputs, (builder) => planTriSolve(builder, inputs, options));
}
