/**
 * One sequence of bytes told as changes of another: the builds differ in little, and only one travels whole.
 *
 * A patch repeats: count of new bytes, the new bytes, how far the next copy starts from the end of the last one, its length.
 * Numbers are LEB128, the distance with its sign in the lowest bit.
 *
 * @module
 */

/** The bytes that `patch` makes of `source`. */
export function applyPatch(source: Uint8Array, patch: Uint8Array): Uint8Array<ArrayBuffer> {
  let at = 0;
  const number = (): number => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = patch[at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const parts: Uint8Array[] = [];
  for (let from = 0; at < patch.length; ) {
    const fresh = number();
    parts.push(patch.subarray(at, at + fresh));
    at += fresh;
    const distance = number();
    from += distance & 1 ? -(distance >> 1) : distance >> 1;
    const length = number();
    parts.push(source.subarray(from, from + length));
    from += length;
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    bytes.set(part, end);
    end += part.length;
  }
  return bytes;
}
