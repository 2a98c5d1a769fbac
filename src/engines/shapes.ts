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
  for (const name in patterns) {
    const tensor = inputs[name];
    const { optional, axes } = parsed(patterns[name]);
    if (tensor === undefined && optional) continue;
    expectTensor(op, name, tensor, axes);
    if (!fits(tensor.shape, axes, sizes, origin, name)) {
      const known = [...new Set(axes.map(({ label }) => label))]
        .filter((label) => label in sizes && origin[label] !== name)
        .map((label) => `${label} = ${sizes[label]} (from ${origin[label]})`);
      throw new ShapeError(
        `${op}: ${name} has shape [${tensor.shape.join(', ')}], expected ${bracketed(axes)}` +
          (known.length > 0 ? ` with ${known.join(', ')}` : '') +
          (tensor.shape.length !== axes.length ? `: ${axes.length} axes, use reshape()` : ''),
      );
    }
  }
  return sizes;
}

/** One axis of a pattern: a name or a length, and another length that is allowed. */
interface Axis {
  readonly text: string;
  readonly label: string;
  readonly length: number | undefined;
  readonly alternative: number | undefined;
}

/** Patterns that were read before: calls of a step are too short to read them anew. */
const PARSED = new Map<string, { readonly optional: boolean; readonly axes: readonly Axis[] }>();
/** Patterns with lengths in them are without end. */
const MOST_PARSED = 4096;

function parsed(pattern: string): { readonly optional: boolean; readonly axes: readonly Axis[] } {
  let found = PARSED.get(pattern);
  if (!found) {
    const optional = pattern.startsWith('?');
    const axes = pattern
      .slice(optional ? 1 : 0)
      .split(' ')
      .map((text) => {
        const [label, alternative] = text.split('|') as [string, string | undefined];
        const length = /^\d+$/.test(label) ? Number(label) : undefined;
        return { text, label, length, alternative: alternative === undefined ? undefined : Number(alternative) };
      });
    found = { optional, axes };
    if (PARSED.size >= MOST_PARSED) PARSED.clear();
    PARSED.set(pattern, found);
  }
  return found;
}

/** Whether a shape matches, with the lengths known so far; new ones are noted. */
function fits(
  shape: readonly number[],
  axes: readonly Axis[],
  sizes: Record<string, number>,
  origin: Record<string, string>,
  name: string,
): boolean {
  if (shape.length !== axes.length) return false;
  for (let i = 0; i < axes.length; ++i) {
    const n = shape[i]!;
    const { label, length, alternative } = axes[i]!;
    if (n === alternative) continue;
    const expected = length ?? sizes[label];
    if (expected === undefined) {
      sizes[label] = n;
      origin[label] = name;
    } else if (n !== expected) {
      return false;
    }
  }
  return true;
}

function bracketed(axes: readonly Axis[]): string {
  return `[${axes.map(({ text }) => text).join(', ')}]`;
}

/** @throws ShapeError if an input is missing or no tensor. */
export function expectTensor(
  op: string,
  name: string,
  tensor: unknown,
  shape: string | readonly Axis[],
): asserts tensor is Tensor {
  if (tensor instanceof Tensor) return;
  const given = tensor === undefined ? 'missing' : typeof tensor;
  const expected = typeof shape === 'string' ? shape : bracketed(shape);
  throw new ShapeError(`${op}: ${name} is ${given}, expected a tensor ${expected}. Make one with rt.tensor().`);
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

/** A yes or no, or the default where it was left out. @throws OptionError if it is neither. */
export function flag(op: string, name: string, value: boolean | undefined, fallback = false): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new OptionError(`${op}: ${name} is ${value}, expected true or false`);
  }
  return value ?? fallback;
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
