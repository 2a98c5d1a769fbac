/**
 * Lengths of a case as words of a command line.
 *
 * @module
 */
import { OptionError } from '../../../index.ts';
import type { Shape } from './case.ts';

/** The lengths of a text such as 'T=1024,H=8'. @throws OptionError for anything else. */
export function shapeOf(text: string): Shape {
  return Object.fromEntries(
    text.split(',').map((part) => {
      const [, name, n] = /^([A-Z])=([1-9]\d*)$/.exec(part.trim()) ?? [];
      if (name === undefined) throw new OptionError(`'${part}' is no length of a case: expected one such as T=1024`);
      return [name, Number(n)];
    }),
  );
}
