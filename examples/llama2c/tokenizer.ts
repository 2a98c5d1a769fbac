import { readFile } from 'node:fs/promises';

/** Begins every sequence; a model that emits it starts another text. */
export const beginToken = 1;
/** Ends a text. */
export const endToken = 2;
const unknownToken = 0;
/** The token of byte b, where a vocabulary has them, is b + 3. */
const firstByteToken = 3;

/** Byte pair encoding with byte fallback over a llama2.c vocabulary. */
export class Tokenizer {
  readonly #pieces: readonly string[];
  readonly #scores: readonly number[];
  readonly #ids = new Map<string, number>();
  readonly #hasBytes: boolean;

  /** @param vocabulary pieces with the scores by which they are merged, highest first. */
  constructor(vocabulary: readonly { readonly piece: string; readonly score: number }[]) {
    this.#pieces = vocabulary.map(({ piece }) => piece);
    this.#scores = vocabulary.map(({ score }) => score);
    for (const [id, piece] of this.#pieces.entries()) if (!this.#ids.has(piece)) this.#ids.set(piece, id);
    this.#hasBytes = this.#pieces[firstByteToken] === '<0x00>' && this.#pieces[firstByteToken + 255] === '<0xFF>';
  }

  /** Reads a llama2.c tokenizer of `vocabSize` pieces. @throws Error if the file holds fewer or more. */
  static async read(file: string, vocabSize: number): Promise<Tokenizer> {
    const bytes = await readFile(file);
    try {
      return new Tokenizer(parseVocabulary(bytes, vocabSize));
    } catch (error) {
      throw new Error(`${file} is not a llama2.c tokenizer of ${vocabSize} pieces: ${(error as Error).message}`);
    }
  }

  /**
   * Tokens of a text, the begin token first. A space is put before the text, as in training; characters without a
   * piece become their UTF-8 bytes, or the unknown token where the vocabulary has no bytes.
   */
  encode(text: string): number[] {
    const ids = text === '' ? [] : Array.from(` ${text}`, (character) => this.#idsOf(character)).flat();
    for (;;) {
      let best = -1;
      let bestId = -1;
      for (let i = 0; i + 1 < ids.length; i++) {
        const id = this.#ids.get(this.#pieces[ids[i]!]! + this.#pieces[ids[i + 1]!]!);
        if (id !== undefined && (bestId < 0 || this.#scores[id]! > this.#scores[bestId]!)) {
          best = i;
          bestId = id;
        }
      }
      if (bestId < 0) return [beginToken, ...ids];
      ids.splice(best, 2, bestId);
    }
  }

  /** UTF-8 bytes of a token that follows `previous`: part of a character where it is a byte token. */
  decode(previous: number, token: number): Uint8Array {
    const piece = this.#pieces[token];
    if (piece === undefined)
      throw new Error(`token ${token} is not in the vocabulary of ${this.#pieces.length} pieces`);
    if (token === beginToken || token === endToken) return new Uint8Array();
    const isByte = this.#hasBytes && token >= firstByteToken && token < firstByteToken + 256;
    if (isByte) return Uint8Array.of(token - firstByteToken);
    return Buffer.from(previous === beginToken && piece.startsWith(' ') ? piece.slice(1) : piece);
  }

  /** Text of a sequence that starts with the begin token. */
  text(tokens: readonly number[]): string {
    return Buffer.concat(tokens.slice(1).map((token, i) => this.decode(tokens[i]!, token))).toString();
  }

  #idsOf(character: string): number[] {
    const id = this.#ids.get(character);
    if (id !== undefined) return [id];
    return this.#hasBytes ? Array.from(Buffer.from(character), (byte) => firstByteToken + byte) : [unknownToken];
  }
}

/** int32 of the longest piece, then for each piece a float32 score, an int32 length and that many bytes. */
function parseVocabulary(bytes: Buffer, vocabSize: number): { piece: string; score: number }[] {
  const vocabulary: { piece: string; score: number }[] = [];
  let at = 4;
  while (at < bytes.length) {
    if (at + 8 > bytes.length) throw new Error(`it ends inside piece ${vocabulary.length}`);
    const score = bytes.readFloatLE(at);
    const length = bytes.readInt32LE(at + 4);
    at += 8;
    if (length < 0 || at + length > bytes.length) throw new Error(`piece ${vocabulary.length} is ${length} bytes long`);
    vocabulary.push({ piece: bytes.toString('utf8', at, at + length), score });
    at += length;
  }
  if (vocabulary.length !== vocabSize) throw new Error(`it has ${vocabulary.length} pieces`);
  return vocabulary;
}
