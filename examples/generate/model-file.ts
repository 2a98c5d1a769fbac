import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openZoo, type Zoo } from '../../src/cli/compare/zoo.ts';

/** Which model. */
export interface ModelChoice {
  /** Its name in the zoo. */
  readonly name: string;
  /** The zoo's folder; default that of the package @wattn/zoo. */
  readonly zoo?: string;
  /** A file of a model, in place of one of the zoo. */
  readonly file?: string;
}

/** A model's file. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

function zooAt(folder: string | undefined): Zoo {
  try {
    return openZoo(folder);
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`${message}, --file a model's file`, { cause: error });
  }
}

/** Reads the model that was asked for. @throws Error that says what there is instead, if it is not there. */
export async function readModelFile({ name, zoo: folder, file }: ModelChoice): Promise<ModelFile> {
  if (file !== undefined) return { path: file, bytes: await readFile(file) };
  const zoo = zooAt(folder);
  if (!zoo.names.includes(name)) {
    throw new Error(`${zoo.folder} has no model '${name}', expected one of ${zoo.names.join(', ')}`);
  }
  return { path: join(zoo.folder, 'models', `${name}.safetensors`), bytes: zoo.model(name) };
}
