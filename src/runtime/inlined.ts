/**
 * The builds that travel inside the package's main entry: no file is fetched.
 *
 * @module
 */
import { UnsupportedError } from '../errors.ts';
import { RELAXED, SIMD_PATCH } from '../generated/wasm.ts';
import { type Builds, shareBytes, variantOf } from './builds.ts';
import { applyPatch } from './patch.ts';
import type { Build } from './variant.ts';

async function inflate(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof DecompressionStream === 'undefined') {
    throw new UnsupportedError(
      "this engine has no DecompressionStream, with which the main entry unpacks its builds: give { modules } from 'wattn/external'",
    );
  }
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpack(build: Build): Promise<WebAssembly.Module> {
  const relaxed = await inflate(RELAXED);
  const bytes = variantOf(build) === 'relaxed' ? relaxed : applyPatch(relaxed, await inflate(SIMD_PATCH));
  return WebAssembly.compile(shareBytes(bytes, build));
}

const compiled = new Map<Build, Promise<WebAssembly.Module>>();

/** Each is unpacked and compiled once per process. */
export const INLINED: Builds = {
  compile(build) {
    let module = compiled.get(build);
    if (!module) {
      module = unpack(build);
      compiled.set(build, module);
      module.catch(() => compiled.delete(build));
    }
    return module;
  },
};
