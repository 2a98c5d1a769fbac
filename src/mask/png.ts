/**
 * Pictures as PNG; the encoder is loaded when the first one is asked for.
 *
 * @module
 */
import { encode } from 'fast-png';
import type { Picture } from './picture.ts';

/** A grey picture as a PNG data URL. */
export function pngUrl({ width, height, data }: Picture): string {
  const bytes = encode({ width, height, data, channels: 1, depth: 8 });
  let text = '';
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return `data:image/png;base64,${btoa(text)}`;
}
