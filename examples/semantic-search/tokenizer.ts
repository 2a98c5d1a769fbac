/** A piece of the vocabulary: its text and its log probability (0 for the reserved ids). */
export type VocabularyPiece = readonly [text: string, score: number];

interface TrieNode {
  readonly children: Map<string, TrieNode>;
  id: number;
}

const separator = '\u2581';
const reserved = 6;
const unknown = 0;

/**
 * Splits text into the token ids of a SentencePiece unigram vocabulary.
 *
 * Follows the tokenizer of `@energetic-ai/embeddings` 0.2.0 decision for decision, because the model is used with its ids: ties go to
 * the later piece, a character without a piece is the unknown id at score 0, a path of score 0 counts as no path yet, and runs of the
 * unknown id become one.
 */
export class Tokenizer {
  readonly #root: TrieNode = { children: new Map(), id: -1 };
  readonly #scores: Float64Array;
  readonly #lengths: Int32Array;

  /** Takes the pieces in id order; the first six are reserved and never matched. */
  constructor(vocabulary: readonly VocabularyPiece[]) {
    this.#scores = Float64Array.from(vocabulary, ([, score]) => score);
    this.#lengths = Int32Array.from(vocabulary, ([text]) => [...text].length);
    for (let id = reserved; id < vocabulary.length; id++) this.#insert(vocabulary[id]![0], id);
  }

  /** Returns the token ids of `text`, in order; none for an empty text. */
  encode(text: string): number[] {
    const normalized = text.normalize('NFKC');
    if (normalized.length === 0) return [];
    const symbols = [...(separator + normalized.replaceAll(' ', separator))];
    const best = new Float64Array(symbols.length + 1);
    const last = new Int32Array(symbols.length + 1);
    // Starts ascend and pieces never end before they start, so best[begin] is final when begin is reached.
    for (let begin = 0; begin < symbols.length; begin++) {
      const offer = (end: number, id: number, score: number): void => {
        const total = best[begin]! + score;
        if (best[end] !== 0 && total < best[end]!) return;
        best[end] = total;
        last[end] = id;
      };
      let node = this.#root.children.get(symbols[begin]!);
      let matched = false;
      for (let end = begin + 1; node !== undefined; end++) {
        if (node.id >= 0) {
          offer(end, node.id, this.#scores[node.id]!);
          matched = true;
        }
        node = end < symbols.length ? node.children.get(symbols[end]!) : undefined;
      }
      if (!matched) offer(begin + 1, unknown, 0);
    }
    return this.#walkBack(last);
  }

  #insert(text: string, id: number): void {
    let node = this.#root;
    for (const symbol of text) {
      let child = node.children.get(symbol);
      if (child === undefined) {
        child = { children: new Map(), id: -1 };
        node.children.set(symbol, child);
      }
      node = child;
    }
    node.id = id;
  }

  #walkBack(last: Int32Array): number[] {
    const ids: number[] = [];
    for (let end = last.length - 1; end > 0; end -= this.#lengths[last[end]!]!) {
      const id = last[end]!;
      if (id !== unknown || ids.at(-1) !== unknown) ids.push(id);
    }
    return ids.reverse();
  }
}
