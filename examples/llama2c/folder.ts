import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Files of a model folder. */
export interface ModelFiles {
  readonly checkpoint: string;
  readonly tokenizer: string;
}

/** What llama2.c itself gave for a model. */
export interface Golden {
  readonly prompt: readonly number[];
  /** The tokens fed, the prompt's first, and the one that llama2.c picked after the last of them. */
  readonly tokens: readonly number[];
  /** Logits after each token fed: [fed, vocabSize]. */
  readonly logits: Float32Array;
  readonly fed: number;
}

const goldenFile = 'llama2c_golden.json';

/** Finds a checkpoint and its tokenizer, `tok*.bin`, in a folder. @throws Error if there is not one of each. */
export async function findModel(folder: string): Promise<ModelFiles> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.bin') && !name.startsWith('llama2c_'));
  const only = (found: readonly string[], what: string) => {
    if (found.length !== 1)
      throw new Error(`${folder} has ${found.length} ${what}${found.map((f) => ` ${f}`)}, expected one`);
    return join(folder, found[0]!);
  };
  const isTokenizer = (name: string) => name.startsWith('tok');
  return {
    checkpoint: only(
      names.filter((name) => !isTokenizer(name)),
      'checkpoints (*.bin, not tok*.bin)',
    ),
    tokenizer: only(names.filter(isTokenizer), 'tokenizers (tok*.bin)'),
  };
}

/** Reads llama2c_golden.json and llama2c_logits_*.bin. @throws Error if they do not fit each other or `vocabSize`. */
export async function readGolden(folder: string, vocabSize: number): Promise<Golden> {
  const { prompt_tokens: prompt, tokens } = JSON.parse(await readFile(join(folder, goldenFile), 'utf8')) as {
    prompt_tokens: number[];
    tokens: number[];
  };
  const name = (await readdir(folder)).find((file) => /^llama2c_logits_.*\.bin$/.test(file));
  if (name === undefined) throw new Error(`${folder} has no llama2c_logits_*.bin`);
  const bytes = await readFile(join(folder, name));
  const fed = tokens.length - 1;
  if (bytes.length !== 4 * fed * vocabSize) {
    throw new Error(`${name} has ${bytes.length} bytes, expected ${fed} rows of ${vocabSize} float32`);
  }
  const logits = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer);
  return { prompt, tokens, logits, fed };
}
