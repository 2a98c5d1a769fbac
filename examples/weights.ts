import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Runtime } from '../src/index.ts';
import { ModelWeights } from '../src/lm/weights.ts';

/** The weights of a safetensors file, copied into a runtime's memory as they are asked for. */
export type Weights = ModelWeights;

/**
 * Reads a safetensors file and makes a network of it, which takes the weights over.
 *
 * @throws SafetensorsError if it is not one; whatever `make` throws, after which no copy stays.
 */
export async function readWeights<Network>(
  rt: Runtime,
  path: string,
  make: (weights: Weights) => Network,
): Promise<Network> {
  return ModelWeights.read(rt, await readFile(path), make, basename(path));
}
