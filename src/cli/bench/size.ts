import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { RELAXED, SIMD_PATCH } from '../../generated/wasm.ts';

/** Gzipped bytes of each build as a file, and of what the main entry holds of all of them. */
export function measureSize(): { builds: Record<string, number>; total: number } {
  const gzipped = (bytes: Uint8Array | string) => gzipSync(bytes, { level: 9 }).length;
  const file = (variant: string) => readFileSync(new URL(`../../wasm/${variant}.wasm`, import.meta.url));
  return {
    builds: { simd: gzipped(file('simd')), relaxed: gzipped(file('relaxed')) },
    total: gzipped(RELAXED + SIMD_PATCH),
  };
}
