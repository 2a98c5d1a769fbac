import { gzipSync } from 'node:zlib';
import { WASM } from '../../generated/wasm.ts';

/** Gzipped bytes of each wasm build and of all together: what a page that takes them all would download. */
export function measureSize(): { builds: Record<string, number>; total: number } {
  const builds = Object.fromEntries(
    Object.entries(WASM).map(([build, base64]) => [
      build,
      gzipSync(Buffer.from(base64, 'base64'), { level: 9 }).length,
    ]),
  );
  return { builds, total: Object.values(builds).reduce((sum, bytes) => sum + bytes, 0) };
}
