/**
 * The bytes of a saved layer: a header that says what it is, a checksum, and its data.
 *
 * @module
 */
import { CacheDataError } from '../errors.ts';
import { crc32 } from './crc32.ts';

/** 'wslt' */
const MAGIC = 0x746c7377;
const VERSION = 1;
/** Magic, version, checksum of what follows, bytes of the header. */
const PREFIX = 16;

/** Numbers that change while a layer is in use. */
export type LayerState = Readonly<Record<string, number>>;

/** What a layer is, in the same words when it is saved and when it is restored. */
export type LayerKind = Readonly<Record<string, unknown>>;

/** Bytes of a layer; `fill` writes its data. */
export function packLayer(
  kind: LayerKind,
  state: LayerState,
  dataBytes: number,
  fill: (to: Uint8Array) => void,
): Uint8Array {
  const header = new TextEncoder().encode(JSON.stringify({ kind, state }));
  const bytes = new Uint8Array(PREFIX + header.length + dataBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(header, PREFIX);
  fill(bytes.subarray(PREFIX + header.length));
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(12, header.length, true);
  view.setUint32(8, crc32(bytes.subarray(12)), true);
  return bytes;
}

/**
 * State and data of saved bytes.
 *
 * @throws CacheDataError if they are cut short, changed, or of a layer of another kind.
 */
export function unpackLayer(
  bytes: Uint8Array,
  kind: LayerKind,
): { readonly state: LayerState; readonly data: Uint8Array } {
  const fail = (problem: string): never => {
    throw new CacheDataError(`restore: the ${bytes.length} bytes ${problem}. Pass the bytes that save() gave.`);
  };
  if (!(bytes instanceof Uint8Array))
    throw new CacheDataError(`restore: ${typeof bytes} is not a Uint8Array of save()`);
  if (bytes.length < PREFIX) fail('are cut short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) fail('are not those of a layer');
  if (view.getUint32(4, true) !== VERSION) fail(`are of version ${view.getUint32(4, true)}, expected ${VERSION}`);
  if (view.getUint32(8, true) !== crc32(bytes.subarray(12))) fail('are cut short or were changed');
  const end = PREFIX + view.getUint32(12, true);
  const saved = JSON.parse(new TextDecoder().decode(bytes.subarray(PREFIX, end))) as {
    kind: LayerKind;
    state: LayerState;
  };
  const [given, expected] = [JSON.stringify(saved.kind), JSON.stringify(kind)];
  if (given !== expected) fail(`are of a layer ${given}, expected ${expected}`);
  return { state: saved.state, data: bytes.subarray(end) };
}
