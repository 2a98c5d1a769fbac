/**
 * A generator of numbers that training and comparison share, bit by bit.
 *
 * @module
 */

/** mulberry32: 32 bits of state, the same numbers in every language. */
export class Mulberry32 {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** The next 32 bits. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** A whole number from 0 up to n, n itself left out; n below 2^21. */
  below(n: number): number {
    return Math.floor((this.next() * n) / 2 ** 32);
  }
}
