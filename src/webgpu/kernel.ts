/**
 * What a kernel is on a GPU: a list of passes of shaders for each dispatch, planned from the same params as on WebAssembly.
 *
 * @module
 */
import type { ShaderName } from '../generated/shaders.ts';
import type { Layout } from '../runtime/params.ts';
import type { GpuFacts } from './device.ts';

/** Values of a params object by field name. */
export type Fields<L extends Layout> = Readonly<Record<L[number][0], number>>;

/** One run of a shader. */
export interface Pass {
  readonly shader: ShaderName;
  /** Constants that the shader is specialised by: whole numbers become u32, others f32. */
  readonly constants?: Readonly<Record<string, number | boolean>>;
  /** Parts that the shader needs beside those that its file names: ways of doing something, of which it takes one. */
  readonly parts?: readonly ShaderName[];
  /** Workgroups. */
  readonly groups: number;
  /** Values of the shader's extra fields. */
  readonly extra?: Readonly<Record<string, number>>;
  /** How the shader sees the memory: `wide` where all that is written begins at multiples of 16 bytes. */
  readonly memory?: 'words' | 'wide';
}

/** What a plan may ask. */
export interface PlanCall {
  readonly items: number;
  readonly facts: GpuFacts;
  /** Address of memory for the passes of this dispatch, at a multiple of 64. */
  scratch(bytes: number): number;
  /** A sentence that names why these params have no shader yet. @throws UnsupportedError */
  refuse(what: string): never;
}

/** A kernel with its shaders. */
export interface GpuKernel<L extends Layout = Layout> {
  readonly layout: L;
  passes(p: Fields<L>, call: PlanCall): readonly Pass[];
}

/** Keeps a kernel's layout and the fields of its plan together. */
export function gpuKernel<const L extends Layout>(
  layout: L,
  passes: (p: Fields<L>, call: PlanCall) => readonly Pass[],
): GpuKernel {
  return { layout, passes } as GpuKernel<L> as unknown as GpuKernel;
}

/** What the words are kept by: params have fields of any name. */
const WORDS = Symbol('words');
const classes = new WeakMap<Layout, new (words: Int32Array) => Fields<Layout>>();

/** The fields of an encoded params object. */
export function fieldsOf<L extends Layout>(layout: L, words: Int32Array): Fields<L> {
  let found = classes.get(layout);
  if (!found) {
    found = class {
      readonly [WORDS]: Int32Array;
      constructor(given: Int32Array) {
        this[WORDS] = given;
      }
    } as unknown as new (
      words: Int32Array,
    ) => Fields<Layout>;
    for (const [i, [name, type]] of layout.entries()) {
      Object.defineProperty(found.prototype, name, {
        get(this: { [WORDS]: Int32Array }) {
          const word = this[WORDS][i]!;
          if (type === 'usize') return word >>> 0;
          return type === 'i32' ? word : new Float32Array(Int32Array.of(word).buffer)[0]!;
        },
      });
    }
    classes.set(layout, found);
  }
  return new found(words) as Fields<L>;
}

/** Workgroups of `threads` threads for `n` pieces of work. */
export function groupsOf(n: number, threads: number): number {
  return Math.ceil(n / threads);
}

/** The next multiple of `step` from n on. */
export function roundUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}
