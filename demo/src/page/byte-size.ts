/**
 * Numbers of bytes, to be read.
 *
 * @module
 */

const KIB = 2 ** 10;
const MIB = 2 ** 20;

/** A number of bytes in the unit that suits it. */
export function byteSize(bytes: number): string {
  if (bytes < KIB) return `${bytes} bytes`;
  return bytes < MIB ? `${(bytes / KIB).toFixed(0)} KiB` : `${(bytes / MIB).toFixed(1)} MiB`;
}
