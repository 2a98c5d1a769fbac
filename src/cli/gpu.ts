/**
 * WebGPU for the command: the platform's own, or a module's.
 *
 * @module
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Gpu, UnsupportedError } from '../index.ts';

/** Dawn's objects must stay referenced as long as a device lives. */
const kept: unknown[] = [];

/** What modules of WebGPU export: the object itself, or as the npm package webgpu does, a maker of it. */
interface GpuModule {
  readonly gpu?: Gpu;
  readonly create?: (options: string[]) => Gpu;
  readonly globals?: object;
}

/**
 * WebGPU from a module: a path, or the name of a package.
 *
 * @throws UnsupportedError if it cannot be loaded, or gives none.
 */
export async function loadGpu(specifier: string): Promise<Gpu> {
  const path = /^[./]/.test(specifier) ? pathToFileURL(resolve(specifier)).href : specifier;
  let found: GpuModule;
  try {
    found = (await import(path)) as GpuModule;
  } catch (error) {
    throw new UnsupportedError(
      `cannot load WebGPU from '${specifier}': ${(error as Error).message}. Install the package webgpu, or give --gpu a module`,
    );
  }
  if (found.globals) Object.assign(globalThis, found.globals);
  const gpu = found.gpu ?? found.create?.([]);
  if (!gpu) throw new UnsupportedError(`'${specifier}' exports neither 'gpu' nor 'create': it is no module of WebGPU`);
  kept.push(gpu);
  return gpu;
}
