import { type AttentionOptions, attention } from './attention.ts';
import { mergeState } from './merge.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Batch entries of x [n, ...] repeated `times` each. */
function repeated(x: NdArray, times: number): Result {
  const [n = 0, ...rest] = x.shape;
  const size = rest.reduce((product, length) => product * length, 1);
  const out = zeros([n * times, ...rest]);
  for (let e = 0; e < n * times; e++) {
    for (let i = 0; i < size; i++) out.data[e * size + i] = x.data[Math.floor(e / times) * size + i]!;
  }
  return out;
}

/** The first `lengths` rows of parts [B, T_p, H, D] of each sequence, one part after another, and how many there are. */
function joinRows(parts: readonly { x: NdArray; lengths: readonly number[] }[], batch: number): Result {
  const [, , heads = 0, d = 0] = parts[0]!.x.shape;
  const total = Array.from({ length: batch }, (_, b) => parts.reduce((sum, { lengths }) => sum + lengths[b]!, 0));
  const out = zeros([batch, Math.max(0, ...total), heads, d]);
  for (let b = 0; b < batch; b++) {
    let row = 0;
    for (const { x, lengths } of parts) {
      for (let t = 0; t < lengths[b]!; t++, row++) {
        for (let i = 0; i < heads * d; i++) {
          out.data[offset(out.shape, b, row, 0, 0) + i] = x.data[offset(x.shape, b, t, 0, 0) + i]!;
        }
      }
    }
  }
  return out;
}

export interface CascadeInputs {
  q: NdArray;
  prefixK: readonly NdArray[];
  prefixV: readonly NdArray[];
  prefixLens?: readonly NdArray[];
  k: NdArray;
  v: NdArray;
  kvLens?: NdArray;
}

/** Attention of every sequence over its prefixes and its own keys, written out one after another (FlashInfer, arXiv 2501.01005). */
export function cascadeAttention(
  { q, prefixK, prefixV, prefixLens, k, v, kvLens }: CascadeInputs,
  options: Pick<AttentionOptions, 'causal' | 'scale' | 'softcap'> = {},
  round: Round = float64,
): { o: Result; lse: Result } {
  const batch = q.shape[0]!;
  const parts = (prefixes: readonly NdArray[], own: NdArray) => [
    ...prefixes.map((x, level) => ({
      x: repeated(x, batch / x.shape[0]!),
      lengths: Array.from({ length: batch }, (_, b) => {
        const e = Math.floor((b * x.shape[0]!) / batch);
        return prefixLens ? prefixLens[level]!.data[e]! : x.shape[1]!;
      }),
    })),
    { x: own, lengths: Array.from({ length: batch }, (_, b) => (kvLens ? kvLens.data[b]! : own.shape[1]!)) },
  ];
  const lens = Array.from({ length: batch }, (_, b) =>
    parts(prefixK, k).reduce((n, { lengths }) => n + lengths[b]!, 0),
  );
  const whole = { q, k: joinRows(parts(prefixK, k), batch), v: joinRows(parts(prefixV, v), batch) };
  return attention({ ...whole, kvLens: { shape: [batch], data: Int32Array.from(lens) } }, options, round);
}

/** Rows `tokens` of x [B, T, H, D]. */
export function tokensOf(x: NdArray, tokens: readonly number[]): Result {
  const [batch = 0, , heads = 0, d = 0] = x.shape;
  const out = zeros([batch, tokens.length, heads, d]);
  for (let b = 0; b < batch; b++) {
    for (const [i, t] of tokens.entries()) {
      for (let c = 0; c < heads * d; c++) {
        out.data[offset(out.shape, b, i, 0, 0) + c] = x.data[offset(x.shape, b, t, 0, 0) + c]!;
      }
    }
  }
  return out;
}

/** Attention over shards of keys, each a list of tokens, merged in turn: what is rounded is that of the method itself (Ring Attention, arXiv 2310.01889). */
export function ringAttention(
  { q, k, v }: { q: NdArray; k: NdArray; v: NdArray },
  shards: readonly (readonly number[])[],
  { causal = false, window = [-1, -1], scale, softcap }: AttentionOptions,
  round: Round = float64,
): { o: Result; lse: Result } {
  const [, tq = 0] = q.shape;
  const tk = k.shape[1]!;
  let merged: { o: Result; lse: Result } | undefined;
  for (const tokens of shards) {
    const mask = zeros([1, 1, tq, tokens.length]);
    for (let i = 0; i < tq; i++) {
      for (const [j, token] of tokens.entries()) {
        const distance = i + tk - tq - token;
        const seen =
          (!causal || distance >= 0) &&
          (window[0] < 0 || distance <= window[0]) &&
          (window[1] < 0 || -distance <= window[1]);
        mask.data[i * tokens.length + j] = seen ? 1 : 0;
      }
    }
    const part = attention(
      { q, k: tokensOf(k, tokens), v: tokensOf(v, tokens), mask },
      { ...(scale !== undefined && { scale }), ...(softcap !== undefined && { softcap }) },
      round,
    );
    merged = merged ? mergeState({ oA: merged.o, lseA: merged.lse, oB: part.o, lseB: part.lse }, round) : part;
  }
  return merged!;
}
