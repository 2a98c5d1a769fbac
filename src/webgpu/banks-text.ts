/**
 * How shaders reach the arena: one buffer, or several where it is larger than what a kernel may see of one.
 *
 * @module
 */

/** The buffers that an arena consists of. */
export interface Banks {
  /** Buffers that shaders are told of, of which the last ones may be empty. */
  readonly count: number;
  /** Bytes of each, a power of two, if there are several. */
  readonly bytes: number;
}

/** Where buffer `i` is bound; the params are at 1. */
export function bankBinding(i: number): number {
  return i === 0 ? 0 : i + 1;
}

/** readUnit, readLane and writeUnit for an arena seen as words or as vectors of four. */
export function banksText(memory: 'words' | 'wide', { count, bytes }: Banks): string {
  const wide = memory === 'wide';
  const unit = wide ? 'vec4u' : 'u32';
  const name = (i: number) => (count === 1 ? 'mem' : `mem${i}`);
  const all = Array.from({ length: count }, (_, i) => i);
  const bindings = all.map(
    (i) => `@group(0) @binding(${bankBinding(i)}) var<storage, read_write> ${name(i)}: array<${unit}>;`,
  );
  const units = bytes / (wide ? 16 : 4);
  const chosen = (what: (mem: string, at: string) => string) => {
    if (count === 1) return what('mem', 'i');
    const cases = all.map((i) => {
      const label = i === count - 1 ? 'default' : `case ${i}u`;
      return `${label}: { ${what(name(i), 'at')} }`;
    });
    return `let at = i & ${units - 1}u;\nswitch i >> ${Math.log2(units)}u { ${cases.join(' ')} }`;
  };
  return [
    ...bindings,
    `fn readUnit(i: u32) -> ${unit} { ${chosen((mem, at) => `return ${mem}[${at}];`)} }`,
    ...(wide
      ? [`fn readLane(i: u32, lane: u32) -> u32 { ${chosen((mem, at) => `return ${mem}[${at}][lane];`)} }`]
      : []),
    `fn writeUnit(i: u32, x: ${unit}) { ${chosen((mem, at) => `${mem}[${at}] = x;`)} }`,
  ].join('\n');
}
