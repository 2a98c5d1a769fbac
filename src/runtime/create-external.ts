/**
 * `createRuntime` of the entry without builds inside.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import { type GivenModules, givenBuilds } from './builds.ts';
import type { Runtime } from './runtime.ts';
import { type StartOptions, startRuntime } from './start.ts';
import type { WasmRuntime } from './wasm-runtime.ts';

/** Options of `createRuntime` from 'wattn/external'. */
export interface ExternalRuntimeOptions extends StartOptions {
  /** The package's .wasm files: compiled, as bytes, as answers of fetch, or functions that return one of these. */
  readonly modules: GivenModules;
}

/**
 * As `createRuntime` of 'wattn', with the builds that the caller gives.
 *
 * @throws OptionError if an option is out of range, or a build is needed that `modules` has not.
 * @throws UnsupportedError if the device lacks what was asked for.
 * @example
 * const load = (name: string) => () => readFile(`node_modules/wattn/build/wasm/${name}.wasm`)
 * using rt = await createRuntime({ modules: { simd: load('simd'), relaxed: load('relaxed') } })
 */
export async function createRuntime(options: ExternalRuntimeOptions & { backend?: 'wasm' }): Promise<WasmRuntime>;
export async function createRuntime(options: ExternalRuntimeOptions): Promise<Runtime>;
export async function createRuntime(options: ExternalRuntimeOptions): Promise<Runtime> {
  if (typeof options?.modules !== 'object') {
    throw new OptionError(
      "createRuntime of 'wattn/external' needs { modules }: the package's .wasm files, 'wattn/simd.wasm' and the like; " +
        "import it from 'wattn' to have them inside",
    );
  }
  return startRuntime(options, givenBuilds(options.modules));
}
