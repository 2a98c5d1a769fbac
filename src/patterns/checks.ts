/**
 * Checks of what patterns are made from.
 *
 * @module
 */
import { whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';

/** A whole number that must be given. @throws OptionError if it is missing, not whole or below `low`. */
export function needed(name: string, what: string, value: number | undefined, low: number): number {
  if (value === undefined) throw new OptionError(`${name}: ${what} is missing, expected a whole number from ${low}`);
  return whole(name, what, value, low, low);
}

/** Whole numbers, one for each axis. @throws OptionError if they are not, or any is below `low`. */
export function perAxis(
  name: string,
  what: string,
  value: number | readonly number[] | undefined,
  axes: number,
  low: number,
  fallback?: number,
): number[] {
  const given = value ?? fallback;
  const each = typeof given === 'number' ? new Array<number>(axes).fill(given) : given;
  if (!Array.isArray(each) || each.length !== axes) {
    throw new OptionError(
      `${name}: ${what} is ${JSON.stringify(value)}, expected a whole number for each of ${axes} axes`,
    );
  }
  return each.map((n, axis) => needed(name, `${what}[${axis}]`, n as number, low));
}
