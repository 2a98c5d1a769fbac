/** A sentence's place in the text and its cosine to the query. */
export interface Hit {
  readonly index: number;
  readonly score: number;
}

/** Cosine of two unit vectors of equal length. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0;
  for (let c = 0; c < a.length; c++) dot += a[c]! * b[c]!;
  return dot;
}

/** The `top` sentences nearest to the query, best first; all embeddings are unit vectors. */
export function search(query: Float32Array, sentences: readonly Float32Array[], top: number): Hit[] {
  return sentences
    .map((sentence, index) => ({ index, score: cosine(query, sentence) }))
    .sort((a, b) => b.score - a.score)
    .slice(0, top);
}
