/**
 * Checks of shapes, element types and options, with messages that say given, expected and what to do.
 *
 * @module
 */
import { DTypeError, OptionError, ShapeError } from '../errors.ts';
import { type DType, Tensor } from '../tensor.ts';

/** Lengths by axis name. */
export type Sizes = Readonly<Record<string, number>>;

/**
 * Matches tensors against axis names, such as `{ q: 'B Tq Hq D', k: 'B Tk Hkv D' }`: the same name must have the same
 * length everywhere. `A|1` also takes length 1; a number takes just that length. An input whose pattern begins with ?
 * may be left out.
 *
 * @returns the lengths by name.
 * @throws ShapeError naming the input, its shape, and where the expected lengths come from.
 */
export function matchShapes<Name extends string>(
  op: string,
  inputs: Partial<Record<Name, Tensor | undefined>>,
  patterns: Readonly<Record<Name, string>>,
): Sizes {
  const sizes: Record<string, number> = {};
  const origin: Record<string, string> = {};
  for (const [name, pattern] of Object.entries(patterns) as [Name, string][]) {
    const tensor = inputs[name];
    const optional = pattern.startsWith('?');
    if (tensor === undefined && optional) continue;
    const axes = pattern.slice(optional ? 1 : 0).split(' ');
    expectTensor(op, name, tensor, `[${axes.join(', ')}]`);
    const fits = (axis: string, i: number) => {
      const n = tensor.shape[i]!;
      const [label, alternative] = axis.split('|') as [string, string | undefined];
      if (alternative !== undefined && n === Number(alternative)) return true;
      if (/^\d+$/.test(label)) return n === Number(label);
      if (label in sizes) return n === sizes[label];
      sizes[label] = n;
      origin[label] = name;
      return true;
    };
    if (tensor.shape.length !== axes.length || !axes.every(fits)) {
      const known = [...new Set(axes.map((axis) => axis.split('|')[0]!))]
        .filter((label) => label in sizes && origin[label] !== name)
        .map((label) => `${label} = ${sizes[label]} (from ${origin[label]})`);
      throw new ShapeError(
        `${op}: ${name} has shape [${tensor.shape.join(', ')}], expected [${axes.join(', ')}]` +
          (known.length > 0 ? ` with ${known.join(', ')}` : '') +
          (tensor.shape.length !== axes.length ? `: ${axes.length} axes, use reshape()` : ''),
      );
    }
  }
  return sizes;
}

/** @throws ShapeError if an input is missing or no tensor. */
export function expectTensor(op: string, name: string, tensor: unknown, shape: string): asserts tensor is Tensor {
  if (tensor instanceof Tensor) return;
  const given = tensor === undefined ? 'missing' : typeof tensor;
  throw new ShapeError(`${op}: ${name} is ${given}, expected a tensor ${shape}. Make one with rt.tensor().`);
}

/** @throws DTypeError if an input that is present has none of the types. */
export function expectTypes(
  op: string,
  inputs: Readonly<Record<string, Tensor | undefined>>,
  types: readonly DType[],
): void {
  for (const [name, tensor] of Object.entries(inputs)) {
    if (tensor && !types.includes(tensor.dtype)) {
      throw new DTypeError(
        `${op}: ${name} is ${tensor.dtype}, expected ${types.join(' or ')}. Pass the dtype to rt.tensor().`,
      );
    }
  }
}

/** @throws ShapeError if an input that is present has gaps along its last axis. */
export function expectRows(op: string, inputs: Readonly<Record<string, Tensor | undefined>>): void {
  for (const [name, tensor] of Object.entries(inputs)) {
    if (tensor && tensor.shape.at(-1)! > 1 && tensor.strides.at(-1) !== 1) {
      throw new ShapeError(
        `${op}: ${name} (shape [${tensor.shape}], strides [${tensor.strides}]) must be contiguous along its last axis. ` +
          'Permute it so that its last axis is the one that is contiguous, or copy it.',
      );
    }
  }
}

/** @throws ShapeError if an input that is present is not contiguous. */
export function expectContiguous(op: string, inputs: Readonly<Record<string, Tensor | undefined>>): void {
  for (const [name, tensor] of Object.entries(inputs)) {
    if (tensor && !tensor.contiguous) {
      throw new ShapeError(
        `${op}: ${name} (shape [${tensor.shape}], strides [${tensor.strides}]) must be contiguous. Copy it: ` +
          `rt.tensor(${name}.dataSync(), ${name}.shape).`,
      );
    }
  }
}

/** @throws OptionError if there is an option or input that the operation does not know. */
export function expectNames(op: string, kind: 'option' | 'input', given: object, known: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) throw new OptionError(`${op} has no ${kind} '${name}'; it has ${known.join(', ')}`);
  }
}

/** A finite number, or the default where it was left out. @throws OptionError if it is not finite or not in [low, high]. */
export function finite(
  op: string,
  name: string,
  value: number | undefined,
  fallback: number,
  low = Number.NEGATIVE_INFINITY,
  high = Number.POSITIVE_INFINITY,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < low || value > high) {
    const range = low > Number.NEGATIVE_INFINITY || high < Number.POSITIVE_INFINITY ? ` from ${low} to ${high}` : '';
    throw new OptionError(`${op}: ${name} is ${value}, expected a finite number${range}`);
  }
  return value;
}

/** A whole number, or the default where it was left out. @throws OptionError if it is not whole or not in [low, high]. */
export function whole(
  op: string,
  name: string,
  value: number | undefined,
  fallback: number,
  low: number,
  high = 2 ** 31 - 1,
): number {
  if (value !== undefined && !Number.isInteger(value)) {
    throw new OptionError(`${op}: ${name} is ${value}, expected a whole number`);
  }
  return finite(op, name, value, fallback, low, high);
}

/** The numbers of a small i32 tensor that the host itself needs, such as lengths. @throws DTypeError if it is not i32. */
export function integers(op: string, name: string, tensor: Tensor): Int32Array {
  expectTypes(op, { [name]: tensor }, ['i32']);
  return tensor.dataSync() as Int32Array;
}
