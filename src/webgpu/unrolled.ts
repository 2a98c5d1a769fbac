/**
 * Loops that are written out before a driver sees them.
 *
 * @module
 */

const HEAD = /@unroll(?:-guarded)? for \(var (\w+) = 0u; \1 < (\w+); \1(?:\+\+| \+= 1u)\) \{/;

/** Index behind the brace that closes the one before `from`. */
function closing(text: string, from: number): number {
  let depth = 1;
  let at = from;
  for (; depth > 0; ++at) {
    const c = text[at];
    if (c === undefined) throw new Error(`'${text.slice(from, from + 40)}' has no end`);
    if (c === '{') ++depth;
    if (c === '}') --depth;
  }
  return at;
}

/**
 * `@unroll for (var n = 0u; n < COUNT; n++) { ... }`: its body as often as COUNT says, a literal or a constant of the pass, with the number
 * of the round in place of the name. What is indexed by that number stays in registers whatever the driver does.
 * `@unroll-guarded` is that only where the implementation guards every loop against endlessness, which keeps drivers from unrolling it:
 * attention took eight times as long there. Elsewhere drivers know better which loops to unroll, by a tenth.
 *
 * @throws Error for a count that is not known, or a loop that is left in its middle.
 */
export function unrolled(
  text: string,
  constants: Readonly<Record<string, number | boolean>>,
  guardsLoops: boolean,
): string {
  let rest = guardsLoops ? text : text.replaceAll('@unroll-guarded ', '');
  for (;;) {
    const found = HEAD.exec(rest);
    if (!found) return rest;
    const [head, name, bound] = found as unknown as [string, string, string];
    const count = Number(constants[bound] ?? bound.replace(/u$/, ''));
    if (!Number.isInteger(count)) throw new Error(`${head}: ${bound} is neither a number nor a constant of the pass`);
    const begin = found.index + head.length;
    const end = closing(rest, begin);
    const body = rest.slice(begin, end);
    if (/\b(continue|break)\b/.test(body)) throw new Error(`${head} has a way out of its middle`);
    const place = new RegExp(`\\b${name}\\b`, 'g');
    const rounds = Array.from({ length: count }, (_, n) => `{${body.replace(place, `${n}u`)}`);
    rest = rest.slice(0, found.index) + rounds.join('\n') + rest.slice(end);
  }
}
