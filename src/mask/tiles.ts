/**
 * Tiles of bits, equal ones stored once.
 *
 * @module
 */

/** Keeps tiles of a number of words each. */
export class TileStore {
  readonly #words: number;
  readonly #byHash = new Map<number, number[]>();
  #data: Int32Array;
  #count = 0;

  constructor(words: number) {
    this.#words = words;
    this.#data = new Int32Array(64 * words);
  }

  /** Number of the tile. */
  add(tile: Int32Array): number {
    const words = this.#words;
    let hash = 0;
    for (let i = 0; i < words; ++i) hash = (Math.imul(hash, 0x01000193) + tile[i]!) | 0;
    hash ^= hash >>> 15;
    const alike = this.#byHash.get(hash);
    if (alike) for (const at of alike) if (this.#equals(at, tile)) return at;
    if ((this.#count + 1) * words > this.#data.length) {
      const larger = new Int32Array(2 * this.#data.length);
      larger.set(this.#data);
      this.#data = larger;
    }
    this.#data.set(tile, this.#count * words);
    if (alike) alike.push(this.#count);
    else this.#byHash.set(hash, [this.#count]);
    return this.#count++;
  }

  /** All tiles, one after another. */
  finish(): Int32Array {
    return this.#data.slice(0, this.#count * this.#words);
  }

  #equals(at: number, tile: Int32Array): boolean {
    const from = at * this.#words;
    for (let i = 0; i < this.#words; ++i) if (this.#data[from + i] !== tile[i]) return false;
    return true;
  }
}
