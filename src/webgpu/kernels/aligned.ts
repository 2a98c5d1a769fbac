/**
 * When a shader may take four elements at a time.
 *
 * @module
 */

/** Whether all addresses, in bytes, and all strides and lengths, in f32 elements, are those of whole vectors of four. */
export function aligned(addresses: readonly number[], elements: readonly number[]): boolean {
  return addresses.every((at) => at % 16 === 0) && elements.every((n) => n % 4 === 0);
}

/** Whether rows of f32 that lie so far apart from an address on begin with whole vectors. */
export function alignedRows(address: number, ...strides: number[]): boolean {
  return aligned([address], strides);
}
