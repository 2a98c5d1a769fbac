/**
 * Choice among the four wasm builds.
 *
 * @module
 */
import { UnsupportedError } from '../errors.ts';
import { WASM } from '../generated/wasm.ts';
import type { Host } from './features.ts';

/** Instruction set of a build. */
export type Variant = 'simd' | 'relaxed';

/** A build, as it is named in the package. */
export type Build = keyof typeof WASM;

/** A kernel as the builds export it. */
export type KernelFunction = (params: number, begin: number, end: number, scratch: number) => void;

const compiled = new Map<Build, Promise<WebAssembly.Module>>();

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

/** Compiles a build once per process. */
export function compileBuild(build: Build): Promise<WebAssembly.Module> {
  let module = compiled.get(build);
  if (!module) {
    const text = atob(WASM[build]);
    module = WebAssembly.compile(Uint8Array.from(text, (c) => c.charCodeAt(0)));
    compiled.set(build, module);
    module.catch(() => compiled.delete(build));
  }
  return module;
}
