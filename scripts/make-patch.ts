/**
 * The patches that src/runtime/patch.ts applies.
 *
 * @module
 */

/** Bytes that a copy must at least have: shorter ones are told as well by themselves. */
const LEAST = 8;
/** Places of the source that are tried for one copy. */
const MOST_PLACES = 256;

function pushNumber(out: number[], value: number): void {
  for (; value > 127; value >>>= 7) out.push((value & 127) | 128);
  out.push(value);
}

const keyAt = (bytes: Uint8Array, at: number): string => String.fromCharCode(...bytes.subarray(at, at + LEAST));

/** A patch that makes `target` of `source`: greedy, the longest copy first, the one nearest to the last of equals. */
export function makePatch(source: Uint8Array, target: Uint8Array): Uint8Array<ArrayBuffer> {
  const places = new Map<string, number[]>();
  for (let at = 0; at + LEAST <= source.length; ++at) {
    const key = keyAt(source, at);
    const known = places.get(key);
    if (known) known.push(at);
    else places.set(key, [at]);
  }
  const lengthOf = (from: number, to: number): number => {
    let n = 0;
    while (from + n < source.length && to + n < target.length && source[from + n] === target[to + n]) ++n;
    return n;
  };
  const out: number[] = [];
  let [from, told] = [0, 0];
  const push = (to: number, start: number, length: number) => {
    pushNumber(out, to - told);
    out.push(...target.subarray(told, to));
    const distance = start - from;
    pushNumber(out, distance < 0 ? (-distance << 1) | 1 : distance << 1);
    pushNumber(out, length);
    from = start + length;
    told = to + length;
  };
  for (let to = 0; to < target.length; ) {
    // after a changed byte or two the source usually goes on where it would have
    const expected = from + (to - told);
    let [start, length] = [expected, lengthOf(expected, to)];
    const found = to + LEAST <= target.length ? (places.get(keyAt(target, to)) ?? []) : [];
    const nearest = [...found].sort((a, b) => Math.abs(a - expected) - Math.abs(b - expected));
    for (const place of nearest.slice(0, MOST_PLACES)) {
      const n = lengthOf(place, to);
      if (n > length) [start, length] = [place, n];
    }
    if (length < LEAST && !(start === expected && length >= LEAST / 2)) {
      ++to;
      continue;
    }
    push(to, start, length);
    to = told;
  }
  if (told < target.length) push(target.length, from, 0);
  return Uint8Array.from(out);
}
