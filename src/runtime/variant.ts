/**
 * Choice among the wasm builds: two instruction sets, each on private and on shared memory.
 *
 * @module
 */
import { UnsupportedError } from '../errors.ts';
import type { Host } from './features.ts';

/** Instruction set of a build. */
export type Variant = 'simd' | 'relaxed';

/** A build, as it is named in the package. */
export type Build = Variant | `${Variant}-shared`;

/** A kernel as the builds export it. */
export type KernelFunction = (params: number, begin: number, end: number, scratch: number) => void;

/** The variants to try, best first. @throws UnsupportedError if one that was asked for is not there. */
export function variantsToTry(host: Host, asked: Variant | undefined): Variant[] {
  const unsupported = (what: string, hint: string) =>
    new UnsupportedError(`variant '${asked ?? 'simd'}' was asked for, but this engine has no ${what}. ${hint}`);
  if (!host.simd) throw unsupported('WebAssembly SIMD', 'wattn needs an engine of 2021 or later.');
  if (asked === 'relaxed' && !host.relaxedSimd) {
    const hint =
      host.runtime === 'node'
        ? "On Node 20 start it with --experimental-wasm-relaxed-simd, or use Node 22 or later; or ask for 'simd'."
        : "Ask for 'simd', or leave the variant to wattn.";
    throw unsupported('relaxed SIMD', hint);
  }
  if (asked) return [asked];
  return host.relaxedSimd ? ['relaxed', 'simd'] : ['simd'];
}
