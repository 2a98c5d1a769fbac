/**
 * Every place where the package is run, in the order of the README's table.
 *
 * @module
 */
import { CHROMIUM_PLACES, FIREFOX_PLACES, WEBKIT_PLACES } from './browsers.ts';
import { EDGE } from './edge.ts';
import type { Place } from './place.ts';
import { BUN, DENO, NODE } from './processes.ts';

export const PLACES: readonly Place[] = [
  ...NODE,
  ...DENO,
  ...BUN,
  ...CHROMIUM_PLACES,
  ...FIREFOX_PLACES,
  ...WEBKIT_PLACES,
  ...EDGE,
];
