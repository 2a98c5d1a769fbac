/**
 * Checks of inputs, and of attributes as ONNX writes them: flags are 0 or 1, element types are numbers.
 *
 * @module
 */
import { OptionError, ShapeError } from '../errors.ts';
import { Tensor } from '../tensor.ts';

/** @throws ShapeError if a required input is missing, or one that is given is not a tensor. */
export function expectTensors(op: string, inputs: object, required: readonly string[]): void {
  const given = inputs as Readonly<Record<string, unknown>>;
  for (const name of new Set([...required, ...Object.keys(given)])) {
    const value = given[name];
    if (value instanceof Tensor || (value === undefined && !required.includes(name))) continue;
    const what = value instanceof Object ? value.constructor.name : String(value);
    throw new ShapeError(`${op}: ${name} is ${what}, expected a tensor. Make one with rt.tensor().`);
  }
}

/** A flag, false where it was left out. @throws OptionError if it is not 0, 1 or a boolean. */
export function flag(op: string, name: string, value: number | boolean | undefined): boolean {
  if (![undefined, false, true, 0, 1].includes(value)) {
    throw new OptionError(`${op}: ${name} is ${value}, expected 0 or 1`);
  }
  return Boolean(value);
}

/** The floating-point types of TensorProto.DataType. */
const FLOAT_TYPES: Readonly<Record<number, string>> = { 1: 'float32', 10: 'float16', 11: 'float64', 16: 'bfloat16' };

/**
 * Checks an attribute that asks for a precision. Arithmetic is float32 whatever it asks for: more than 16-bit floats
 * need, and what float64 models are narrowed to.
 *
 * @throws OptionError if it is not the number of a floating-point type.
 */
export function expectFloatType(op: string, name: string, value: number | undefined): void {
  if (value === undefined || value in FLOAT_TYPES) return;
  const known = Object.entries(FLOAT_TYPES).map(([code, type]) => `${code} (${type})`);
  throw new OptionError(`${op}: ${name} is ${value}, expected one of ${known.join(', ')}`);
}

/** An axis counted from 0. @throws OptionError if it is not a whole number from `lowest` to the last axis. */
export function axisOf(op: string, value: number, rank: number, lowest = 0): number {
  const axis = value < 0 ? value + rank : value;
  if (!Number.isInteger(value) || axis < lowest || axis >= rank) {
    throw new OptionError(`${op}: axis is ${value}, expected ${lowest} to ${rank - 1}, or ${lowest - rank} to -1`);
  }
  return axis;
}
