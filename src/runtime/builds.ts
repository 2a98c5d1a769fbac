/**
 * Where compiled builds come from: the package's own text, or modules that the caller gives.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import { MEMORY_FLAG, SHARED_MEMORY } from '../generated/kernels.ts';
import type { Build, Variant } from './variant.ts';

/** A source of compiled builds. */
export interface Builds {
  /** The build, compiled; undefined where it is not there. */
  compile(build: Build): Promise<WebAssembly.Module | undefined>;
}

/** A build as a caller may give it: compiled, as bytes, or as the answer of a fetch. */
export type ModuleSource = WebAssembly.Module | ArrayBuffer | ArrayBufferView<ArrayBuffer> | Response;

/** A build, or what returns it: a function is called only for the build that the device takes. */
export type GivenModule = ModuleSource | Promise<ModuleSource> | (() => ModuleSource | Promise<ModuleSource>);

/** The package's .wasm files by name. From the bytes of a build its shared form is made; a compiled one has to be given for it. */
export type GivenModules = { readonly [build in Build]?: GivenModule };

/** The variant of a build. */
export function variantOf(build: Build): Variant {
  return build.startsWith('relaxed') ? 'relaxed' : 'simd';
}

/** Makes the bytes of a variant those of a build: private and shared memory differ in one byte alone. */
export function shareBytes(bytes: Uint8Array<ArrayBuffer>, build: Build): Uint8Array<ArrayBuffer> {
  const variant = variantOf(build);
  if (build !== variant) bytes[MEMORY_FLAG[variant]] = SHARED_MEMORY;
  return bytes;
}

const BUILDS: readonly Build[] = ['simd', 'relaxed', 'simd-shared', 'relaxed-shared'];

async function bytesOfSource(
  source: ArrayBuffer | ArrayBufferView<ArrayBuffer> | Response,
  build: Build,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer>;
  if (typeof Response !== 'undefined' && source instanceof Response) {
    if (!source.ok)
      throw new OptionError(
        `modules['${build}'] is the answer ${source.status} of ${source.url}, expected a .wasm file`,
      );
    bytes = new Uint8Array(await source.arrayBuffer());
  } else if (ArrayBuffer.isView(source)) {
    bytes = new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice();
  } else if (source instanceof ArrayBuffer) {
    bytes = new Uint8Array(source.slice(0));
  } else {
    throw new OptionError(
      `modules['${build}'] is ${String(source)}, expected a WebAssembly.Module, bytes or a Response`,
    );
  }
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== '\0asm') {
    const start = JSON.stringify(String.fromCharCode(...bytes.subarray(0, 12)));
    throw new OptionError(
      `modules['${build}'] begins with ${start}, which is not WebAssembly: a server often answers a path that it does not have ` +
        'with a page. See that the .wasm file is at the address that was asked.',
    );
  }
  return bytes;
}

/** The builds that a caller gives to `createRuntime`. @throws OptionError if a name is unknown. */
export function givenBuilds(modules: GivenModules): Builds {
  const names = Object.keys(modules);
  const unknown = names.find((name) => !(BUILDS as readonly string[]).includes(name));
  if (unknown !== undefined) throw new OptionError(`modules has no '${unknown}'; it has ${BUILDS.join(', ')}`);
  return {
    async compile(build) {
      const name = modules[build] === undefined ? variantOf(build) : build;
      const given = modules[name];
      if (given === undefined) return undefined;
      const source = await (typeof given === 'function' ? given() : given);
      // what is compiled cannot be changed any more
      if (source instanceof WebAssembly.Module) return name === build ? source : undefined;
      return WebAssembly.compile(
        shareBytes(await bytesOfSource(source as Exclude<typeof source, WebAssembly.Module>, name), build),
      );
    },
  };
}
