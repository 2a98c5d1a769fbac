/**
 * Windows of held-out text.
 *
 * @module
 */
import type { Text } from './zoo.ts';

/** `count` windows of `bytes` bytes, taken from the documents in turn, spread over each from its start: the same ones every time. */
export function windowsOf(texts: readonly Text[], count: number, bytes: number): Uint8Array[] {
  const long = texts.filter((text) => text.bytes.length >= bytes);
  return Array.from({ length: long.length === 0 ? 0 : count }, (_, i) => {
    const { bytes: document } = long[i % long.length]!;
    const [place, places] = [Math.floor(i / long.length), Math.ceil(count / long.length)];
    const start = Math.floor((place / places) * (document.length - bytes));
    return document.subarray(start, start + bytes);
  });
}
