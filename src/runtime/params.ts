/**
 * Encodes a kernel's params from the generated field lists.
 *
 * @module
 */

import type { Tensor } from '../tensor.ts';

/** Fields of a params class in order, each four bytes. */
export type Layout = readonly (readonly [name: string, type: 'usize' | 'i32' | 'f32'])[];

const word = new DataView(new ArrayBuffer(4));

/** The bits of a float32, as the integer that a params image holds. */
function floatBits(x: number): number {
  word.setFloat32(0, x);
  return word.getInt32(0);
}

/** Values of a layout by field name; a field left out is 0, which for an address means absent. */
export type Values<L extends Layout> = Partial<Record<L[number][0], number>>;

/** Places of a layout's fields by name: twice the word, plus 1 for floats. */
const placesOf = new WeakMap<Layout, Map<string, number>>();

function places(layout: Layout): Map<string, number> {
  let found = placesOf.get(layout);
  if (!found) {
    found = new Map(layout.map(([name, type], i) => [name, 2 * i + (type === 'f32' ? 1 : 0)]));
    placesOf.set(layout, found);
  }
  return found;
}

/** Writes one params object into `image` from word `at`. */
export function encodeInto<L extends Layout>(layout: L, values: Values<L>, image: Int32Array, at: number): void {
  const place = places(layout);
  for (const name in values) {
    const found = place.get(name);
    if (found === undefined) continue;
    const value = (values as Record<string, number | undefined>)[name] ?? 0;
    image[at + (found >> 1)] = found & 1 ? floatBits(value) : value | 0;
  }
}

/** The words of one params object, from the fields of one or more objects: the last that has a field gives it. */
export function encode<L extends Layout>(layout: L, ...values: Values<L>[]): Int32Array {
  const image = new Int32Array(layout.length);
  for (const each of values) encodeInto(layout, each, image, 0);
  return image;
}

/** Writes words one after another from the field `name` on, as for an address and its strides, which lie together. */
export function encodeRun<L extends Layout>(
  layout: L,
  image: Int32Array,
  name: L[number][0],
  words: readonly number[],
): void {
  image.set(words, places(layout).get(name)! >> 1);
}

const ABSENT = [0, 0, 0, 0] as const;

/** Writes address and first three strides of tensors [B, T, H, ...] into `params` by name; zeros where one is absent. */
export function encodePlaces<L extends Layout>(
  layout: L,
  params: Int32Array,
  tensors: { readonly [name in L[number][0]]?: Tensor | undefined },
): void {
  for (const name in tensors) {
    const tensor = tensors[name as L[number][0]];
    const [batch = 0, time = 0, head = 0] = tensor?.strides ?? ABSENT;
    encodeRun(layout, params, name, tensor ? [tensor.address, batch, time, head] : ABSENT);
  }
}
