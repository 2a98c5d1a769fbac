/**
 * Encodes a kernel's params from the generated field lists.
 *
 * @module
 */

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

/** Writes one params object into `image` from word `at`. */
export function encodeInto<L extends Layout>(layout: L, values: Values<L>, image: Int32Array, at: number): void {
  const given = values as Record<string, number | undefined>;
  for (const [i, [name, type]] of layout.entries()) {
    const value = given[name] ?? 0;
    image[at + i] = type === 'f32' ? floatBits(value) : value | 0;
  }
}

/** The words of one params object, from the fields of one or more objects: the last that has a field gives it. */
export function encode<L extends Layout>(layout: L, first: Values<L>, ...rest: Values<L>[]): Int32Array {
  const image = new Int32Array(layout.length);
  // not by spreading: engines keep an object of so many spread fields as a slow dictionary
  encodeInto(layout, Object.assign(first, ...rest), image, 0);
  return image;
}
