// Import before anything that compiles wasm: on Node 20 relaxed SIMD is behind a flag.
import { setFlagsFromString } from 'node:v8';
import type { WasmRuntime } from '../src/index.ts';

if (process.versions.node.startsWith('20.')) setFlagsFromString('--experimental-wasm-relaxed-simd');

// (func (result v128) (i8x16.relaxed_swizzle (i8x16.splat (i32.const 1)) (i8x16.splat (i32.const 2))))
const relaxedProbe = Uint8Array.of(
  0,
  97,
  115,
  109,
  1,
  0,
  0,
  0,
  1,
  5,
  1,
  96,
  0,
  1,
  123,
  3,
  2,
  1,
  0,
  10,
  15,
  1,
  13,
  0,
  65,
  1,
  253,
  15,
  65,
  2,
  253,
  15,
  253,
  128,
  2,
  11,
);

/** The variants that this host can run: 'simd' everywhere, 'relaxed' where the host validates relaxed SIMD. */
export function availableVariants(): ('simd' | 'relaxed')[] {
  return WebAssembly.validate(relaxedProbe) ? ['simd', 'relaxed'] : ['simd'];
}

/** One runtime for each available variant. */
export async function variants(threads = 1): Promise<WasmRuntime[]> {
  const { createRuntime } = await import('../src/index.ts');
  return Promise.all(availableVariants().map((variant) => createRuntime({ variant, threads })));
}
