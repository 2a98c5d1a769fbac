/**
 * Rotary position embedding.
 *
 * @module
 */
import { rotaryAngles, rotate } from '../engines/rotary.ts';
import { expectNames, expectRows, expectTypes, finite, integers, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `rope`. */
export interface RopeInputs {
  /** f32 [B, T, H, D] */
  readonly x: Tensor;
  /** i32 [T] or [B, T]; default 0, 1, ... */
  readonly positions?: Tensor;
}

/** Options of `rope`. */
export interface RopeOptions {
  /** Pair i turns by position * base^(-2i / rotaryDim). Default 10000. */
  readonly base?: number;
  /** Added to every position: the tokens already in a cache. Default 0. */
  readonly offset?: number;
  /** Pairs are (x[2i], x[2i + 1]) instead of (x[i], x[i + rotaryDim / 2]). Default false. */
  readonly interleaved?: boolean;
  /** Elements of a head that are rotated, the first ones; even. Default D. */
  readonly rotaryDim?: number;
}

const OP = 'rope';

/** Lays out the call. */
export function planRope(b: Builder, inputs: RopeInputs, options: RopeOptions): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['x', 'positions']);
  expectNames(OP, 'option', options, ['base', 'offset', 'interleaved', 'rotaryDim']);
  const { x, positions } = inputs;
  const { B, T, D } = matchShapes(OP, { x }, { x: 'B T H D' }) as Record<'B' | 'T' | 'D', number>;
  expectTypes(OP, { x }, ['f32']);
  expectRows(OP, { x });
  const perBatch = positions?.shape.length === 2;
  if (positions) matchShapes(OP, { positions }, { positions: perBatch ? `${B} ${T}` : `${T}` });
  const rotated = whole(OP, 'rotaryDim', options.rotaryDim, D, 0, D);
  if (rotated % 2 !== 0) {
    throw options.rotaryDim === undefined
      ? new ShapeError(`${OP}: D is ${D}, expected an even number. Give an even rotaryDim to rotate a part of it.`)
      : new OptionError(`${OP}: rotaryDim is ${rotated}, expected an even number`);
  }
  const base = finite(OP, 'base', options.base, 10000, Number.MIN_VALUE);
  const offset = whole(OP, 'offset', options.offset, 0, -(2 ** 31));
  const rows = positions ? positions.size : T;
  const given = positions ? integers(OP, 'positions', positions) : undefined;
  const at = Float64Array.from({ length: rows }, (_, t) => (given ? given[t]! : t) + offset);
  const { cos, sin } = rotaryAngles(at, rotated / 2, base);
  const shape = [perBatch ? B : 1, T, rotated / 2];
  const tables = [cos, sin].map((values) => {
    const tensor = b.temporary(shape);
    tensor.write(values);
    return tensor;
  }) as [Tensor, Tensor];
  const o = b.output(x.shape);
  rotate(b, { x, o, cos: tables[0], sin: tables[1], rotated, interleaved: options.interleaved ?? false });
  return { o };
}

/**
 * Rotates pairs of elements of each head by angles that grow with the position.
 *
 * Source: Su et al. 2021; pairs half a head apart as in GPT-NeoX, or interleaved as in the paper.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o: q } = await rope({ x }, { offset: cached })
 */
export function rope(inputs: RopeInputs, options: RopeOptions = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planRope(b, inputs, options));
}

/** As `rope`, to the end before it returns. */
export function ropeSync(inputs: RopeInputs, options: RopeOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planRope(b, inputs, options));
}
