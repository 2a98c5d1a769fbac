/**
 * ONNX TensorScatter, opset 24.
 *
 * @module
 */
import { expectNames, expectTypes, integers, matchShapes } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { axisOf, expectTensors } from './attributes.ts';
import { moveRows } from './rows.ts';

/** Operands of `TensorScatter`. */
export interface TensorScatterInputs {
  /** [B, ..., S, ...], S along `axis`; any type. */
  readonly past_cache: Tensor;
  /** As past_cache, with at most S rows along `axis`. */
  readonly update: Tensor;
  /** i32 [B]: row of the cache at which each batch entry's update begins. Default zeros. */
  readonly write_indices?: Tensor;
}

/** Attributes of `TensorScatter`. */
export interface TensorScatterAttributes {
  /** The axis of the sequence, not the first. Default -2. */
  readonly axis?: number;
  /** 'circular': rows past the end of the cache are written from its beginning on. Default 'linear'. */
  readonly mode?: 'linear' | 'circular';
}

const OP = 'TensorScatter';

/** Elements between neighbours of axes [begin, end) taken as one; undefined if they do not lie evenly. */
function joinedStride({ shape, strides }: Tensor, begin: number, end: number): number | undefined {
  const axes = Array.from({ length: end - begin }, (_, i) => begin + i).filter((axis) => shape[axis] !== 1);
  const even = axes.every((axis, i) => i === 0 || strides[axes[i - 1]!] === shape[axis]! * strides[axis]!);
  return even ? (axes.length > 0 ? strides[axes.at(-1)!]! : 0) : undefined;
}

/** The tensor as [B, S, everything between, everything after], the last contiguous, without a copy. */
function asRows(name: string, tensor: Tensor, axis: number): Tensor {
  const { shape, strides } = tensor;
  const size = (begin: number, end: number) => shape.slice(begin, end).reduce((product, n) => product * n, 1);
  const between = joinedStride(tensor, 1, axis);
  const after = joinedStride(tensor, axis + 1, shape.length);
  const width = size(axis + 1, shape.length);
  if (between === undefined || after === undefined || (width > 1 && after !== 1)) {
    throw new ShapeError(
      `${OP}: ${name} (shape [${shape}], strides [${strides}]) must be contiguous behind axis ${axis} and even before ` +
        `it. Copy it: rt.tensor(${name}.dataSync(), ${name}.shape).`,
    );
  }
  return tensor.restride([shape[0]!, shape[axis]!, size(1, axis), width], [strides[0]!, strides[axis]!, between, 1]);
}

/** First row of each batch entry's update. */
function firstRows(
  inputs: TensorScatterInputs,
  batch: number,
  room: number,
  rows: number,
  circular: boolean,
): number[] {
  const { write_indices } = inputs;
  if (!write_indices) return new Array<number>(batch).fill(0);
  matchShapes(OP, { write_indices }, { write_indices: `${batch}` });
  return Array.from(integers(OP, 'write_indices', write_indices), (at, i) => {
    if (at < 0 || (!circular && at + rows > room)) {
      throw new ShapeError(
        `${OP}: write_indices[${i}] is ${at}, expected ${circular ? 'at least 0' : `0 to ${room - rows}`}: ` +
          `the cache holds ${room} rows and the update ${rows}`,
      );
    }
    return room === 0 ? 0 : at % room;
  });
}

function plan(b: Builder, inputs: TensorScatterInputs, attributes: TensorScatterAttributes): { present_cache: Tensor } {
  expectNames(OP, 'input', inputs, ['past_cache', 'update', 'write_indices']);
  expectNames(OP, 'option', attributes, ['axis', 'mode']);
  const { past_cache, update } = inputs;
  expectTensors(OP, inputs, ['past_cache', 'update']);
  expectTypes(OP, { update }, [past_cache.dtype]);
  const { shape } = past_cache;
  const axis = axisOf(OP, attributes.axis ?? -2, shape.length, 1);
  const mode = attributes.mode ?? 'linear';
  if (mode !== 'linear' && mode !== 'circular') {
    throw new OptionError(`${OP}: mode is '${mode}', expected 'linear' or 'circular'`);
  }
  const room = shape[axis]!;
  const rows = update.shape[axis] ?? 0;
  if (update.shape.length !== shape.length || update.shape.some((n, i) => (i === axis ? n > room : n !== shape[i]))) {
    throw new ShapeError(
      `${OP}: update has shape [${update.shape}], expected the shape [${shape}] of past_cache with at most ${room} along axis ${axis}`,
    );
  }
  const first = firstRows(inputs, shape[0]!, room, rows, mode === 'circular');
  const present_cache = b.output(shape, past_cache.dtype);
  const [from, to] = [asRows('update', update, axis), asRows('present_cache', present_cache, axis)];
  moveRows(b, asRows('past_cache', past_cache, axis), to);
  const together = first.every((at) => at === first[0]);
  for (const [i, at] of (together ? first.slice(0, 1) : first).entries()) {
    const entry = (tensor: Tensor) => (together ? tensor : tensor.slice(0, i, i + 1));
    const end = Math.min(rows, room - at);
    moveRows(b, entry(from).slice(1, 0, end), entry(to).slice(1, at, at + end));
    moveRows(b, entry(from).slice(1, end, rows), entry(to).slice(1, 0, rows - end));
  }
  return { present_cache };
}

/**
 * A copy of a key or value cache with new rows written into each batch entry.
 *
 * Source: ONNX TensorScatter-24.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or attributes that do not fit.
 * @example const { present_cache } = await TensorScatter({ past_cache, update, write_indices }, { mode: 'circular' })
 */
export function TensorScatter(
  inputs: TensorScatterInputs,
  attributes: TensorScatterAttributes = {},
): Promise<{ present_cache: Tensor }> {
  return run(OP, inputs, (b) => plan(b, inputs, attributes));
}

/** As `TensorScatter`, to the end before it returns. */
export function TensorScatterSync(
  inputs: TensorScatterInputs,
  attributes: TensorScatterAttributes = {},
): { present_cache: Tensor } {
  return runSync(OP, inputs, (b) => plan(b, inputs, attributes));
}
