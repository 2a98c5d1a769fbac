/**
 * Where models and held-out text are: a folder, or the package @wattn/zoo.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { UnsupportedError } from '../../errors.ts';

const SUFFIX = '.safetensors';

/** A held-out document. */
export interface Text {
  readonly title: string;
  readonly bytes: Uint8Array;
}

/** Models and text. */
export interface Zoo {
  readonly folder: string;
  /** Names of models, in the order of files. */
  readonly names: readonly string[];
  readonly texts: readonly Text[];
  /** Bits per byte of a 5-gram model of the same training text on these documents, each as much as another; where it is known. */
  readonly ngram: number | undefined;
  model(name: string): Uint8Array;
}

/** The folder of the package. @throws UnsupportedError if it is not installed. */
function installed(): string {
  try {
    return join(createRequire(import.meta.url).resolve('@wattn/zoo/package.json'), '..');
  } catch {
    throw new UnsupportedError("there is no package '@wattn/zoo': npm install @wattn/zoo, or give --zoo a folder");
  }
}

function ngramOf(path: string, files: readonly string[]): number | undefined {
  if (!existsSync(path)) return undefined;
  const { bits } = JSON.parse(readFileSync(path, 'utf8')) as { readonly bits: Readonly<Record<string, number>> };
  const known = files.map((file) => bits[file]);
  return known.some((x) => x === undefined) ? undefined : known.reduce<number>((sum, x) => sum + x!, 0) / known.length;
}

/**
 * Opens a folder with `models/` and `text/`, by default that of the package.
 *
 * @throws UnsupportedError if there is none, or it has no models or no text.
 */
export function openZoo(folder = installed()): Zoo {
  const models = join(folder, 'models');
  const names = (existsSync(models) ? readdirSync(models) : [])
    .filter((file) => file.endsWith(SUFFIX) && !file.endsWith(`.logits${SUFFIX}`))
    .map((file) => basename(file, SUFFIX));
  const index = join(folder, 'text/index.json');
  if (names.length === 0 || !existsSync(index)) {
    const what = names.length === 0 ? `models/*${SUFFIX}` : 'text/index.json';
    throw new UnsupportedError(`${folder} has no ${what}; --zoo takes a folder with models/ and text/`);
  }
  const documents = JSON.parse(readFileSync(index, 'utf8')) as readonly { file: string; title: string }[];
  return {
    folder,
    names,
    texts: documents.map(({ file, title }) => ({ title, bytes: readFileSync(join(folder, 'text', file)) })),
    ngram: ngramOf(
      join(folder, 'ngram.json'),
      documents.map(({ file }) => file),
    ),
    model: (name) => readFileSync(join(models, `${name}${SUFFIX}`)),
  };
}
