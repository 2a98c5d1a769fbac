/**
 * The bytes of a saved layer: what it is, its numbers, and its data.
 *
 * @module
 */
import { CacheDataError } from '../errors.ts';
import { SavedReader, SavedWriter, sealed, unsealed } from './saved.ts';

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
  const writer = new SavedWriter();
  writer.block(new TextEncoder().encode(JSON.stringify({ kind, state })));
  fill(writer.room(dataBytes));
  return sealed(writer.bytes());
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
  const reader = new SavedReader(unsealed(bytes));
  const saved = JSON.parse(new TextDecoder().decode(reader.block('what a layer is'))) as {
    kind: LayerKind;
    state: LayerState;
  };
  const [given, expected] = [JSON.stringify(saved.kind), JSON.stringify(kind)];
  if (given !== expected) {
    throw new CacheDataError(
      `restore: the bytes are of a layer ${given}, expected ${expected}. Pass what save() gave.`,
    );
  }
  return { state: saved.state, data: reader.rest() };
}
