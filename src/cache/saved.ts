/**
 * The bytes that caches are saved as: a header with magic, version and length, parts, and a checksum behind them.
 *
 * @module
 */
import { CacheDataError } from '../errors.ts';
import { crc32 } from './crc32.ts';

const MAGIC = 'WKVC';
const VERSION = 1;
/** Magic, version, and the number of all bytes. */
const HEADER = 4 + 4 + 8;
const CHECKSUM = 4;

/** Collects counts and bytes, one behind the other. */
export class SavedWriter {
  readonly #parts: Uint8Array[] = [];

  /** A whole number >= 0, of up to 53 bits. */
  count(value: number): void {
    new DataView(this.room(8).buffer).setFloat64(0, value, true);
  }

  /** Room for `length` bytes, to be filled before `bytes` is called. */
  room(length: number): Uint8Array<ArrayBuffer> {
    const part = new Uint8Array(length);
    this.#parts.push(part);
    return part;
  }

  /** Bytes with their number before them. */
  block(bytes: Uint8Array): void {
    this.count(bytes.length);
    this.#parts.push(bytes);
  }

  /** All of it. */
  bytes(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#parts.reduce((n, part) => n + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

/** Reads what a `SavedWriter` wrote. Every method throws CacheDataError where the bytes end too early or make no sense. */
export class SavedReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  count(what: string): number {
    const bytes = this.take(8, what);
    const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new CacheDataError(`${what} is ${value}, expected a whole number >= 0`);
    }
    return value;
  }

  take(length: number, what: string): Uint8Array {
    const left = this.#bytes.length - this.#at;
    if (length > left) throw new CacheDataError(`${what}: ${length} bytes were expected, ${left} are left`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  block(what: string): Uint8Array {
    return this.take(this.count(what), what);
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.#at, 'the rest');
  }

  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new CacheDataError(`${left} bytes are left over`);
  }
}

/** Saved bytes of a body, with header and checksum. */
export function sealed(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(HEADER + body.length + CHECKSUM);
  const view = new DataView(all.buffer);
  all.set(new TextEncoder().encode(MAGIC));
  view.setUint32(4, VERSION, true);
  view.setFloat64(8, all.length, true);
  all.set(body, HEADER);
  view.setUint32(all.length - CHECKSUM, crc32(all.subarray(0, -CHECKSUM)), true);
  return all;
}

/** The body of sealed bytes. @throws CacheDataError if they are cut, changed, or of another version. */
export function unsealed(bytes: Uint8Array): Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new CacheDataError('a saved cache is a Uint8Array, as save() gives it');
  if (bytes.length < HEADER + CHECKSUM) {
    throw new CacheDataError(`a saved cache has at least ${HEADER + CHECKSUM} bytes, ${bytes.length} were given`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = String.fromCharCode(...bytes.subarray(0, 4));
  if (magic !== MAGIC) throw new CacheDataError(`these bytes are no saved cache: they do not begin with ${MAGIC}`);
  const version = view.getUint32(4, true);
  if (version !== VERSION) throw new CacheDataError(`this cache was saved as version ${version}, expected ${VERSION}`);
  const length = view.getFloat64(8, true);
  if (length !== bytes.length) {
    throw new CacheDataError(`this saved cache has ${length} bytes, ${bytes.length} were given: it was cut or joined`);
  }
  const sum = crc32(bytes.subarray(0, -CHECKSUM));
  if (sum !== view.getUint32(bytes.length - CHECKSUM, true)) {
    throw new CacheDataError('the checksum of this saved cache is wrong: bytes of it were changed');
  }
  return bytes.subarray(HEADER, -CHECKSUM);
}
