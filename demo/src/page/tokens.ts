/**
 * Texts as tokens.
 *
 * @module
 */

/** What a token is. */
export type Unit = 'words' | 'bytes';

/** A text in tokens. */
export interface Tokens {
  /** A number for each token, the same for the same token. */
  readonly ids: Uint32Array;
  /** What each stands for. */
  readonly labels: readonly string[];
}

/** A hash of a word's letters, whatever their case (FNV-1a). */
function hashOf(word: string): number {
  let hash = 0x811c9dc5;
  for (const letter of word.toLowerCase()) hash = Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193) >>> 0;
  return hash;
}

/** A byte as it can be shown. */
function byteLabel(byte: number): string {
  if (byte === 0x0a) return '⏎';
  if (byte === 0x20) return '␣';
  return byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : byte.toString(16).padStart(2, '0');
}

/** At most `most` tokens of a text. */
export function tokensOf(text: string, unit: Unit, most: number): Tokens {
  if (unit === 'bytes') {
    // no character takes less than a byte
    const bytes = new TextEncoder().encode(text.slice(0, most)).subarray(0, most);
    return { ids: Uint32Array.from(bytes), labels: Array.from(bytes, byteLabel) };
  }
  const labels: string[] = [];
  for (const [word] of text.matchAll(/[\p{L}\p{M}\p{N}]+|\n+|[^\s\p{L}\p{M}\p{N}]/gu)) {
    if (labels.length === most) break;
    labels.push(word.startsWith('\n') ? '⏎' : word);
  }
  return { ids: Uint32Array.from(labels, hashOf), labels };
}
