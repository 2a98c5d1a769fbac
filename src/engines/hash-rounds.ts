/**
 * Attention within chunks of tokens sorted by hash buckets, in several rounds.
 *
 * @module
 */
import { MergePartsParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { copyIntegers } from './copy.ts';
import { flashAttend } from './flash.ts';
import { gatherHeads, scatterHeads } from './select/gather.ts';
import { sortByLabel } from './select/sort.ts';
import type { SequenceSpan } from './sequences.ts';

/** Adds o [B, T, H, D] = the results [B, T, H, n, D] of one row joined by their lse [B, T, H, n]. */
export function mergeParts(b: Builder, parts: Tensor, lseParts: Tensor, o: Tensor, lse?: Tensor): void {
  const [count, d] = parts.shape.slice(-2) as [number, number];
  b.dispatch({
    kernel: 'mergeParts',
    params: encode(MergePartsParams, {
      parts: parts.address,
      lseParts: lseParts.address,
      o: o.address,
      lse: lse?.address ?? 0,
      count,
      d,
    }),
    items: o.size / Math.max(1, d),
    grain: 64,
    scratchBytes: 4 * count,
    flops: 3 * parts.size,
  });
}

/** One attention over chunks of hashed tokens. */
export interface HashRoundsCall {
  /** [B, T, H, D], [B, T, H, D], [B, T, H, Dv] */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  /** i32 [B, H * rounds, T], list h * rounds + round; numbers below `count`. */
  readonly buckets: Tensor;
  readonly count: number;
  readonly rounds: number;
  /** Tokens of a chunk; the last of each round may have fewer. */
  readonly chunk: number;
  /** Chunks around a query's own whose keys it sees. */
  readonly before: number;
  readonly after: number;
  readonly causal: boolean;
  readonly scale: number;
  readonly selfScore: number;
  /** f32 [B, T, H, Dv] */
  readonly o: Tensor;
}

/** The chunks of all rounds as one ring: where each begins, and one past the last. */
function chunkStarts(length: number, rounds: number, chunk: number): number[] {
  const starts: number[] = [];
  for (let round = 0; round < rounds; ++round) {
    for (let at = 0; at < length; at += chunk) starts.push(round * length + at);
  }
  return [...starts, rounds * length];
}

/**
 * Adds the attention of every token, in each round, over the chunks around its own. The chunks of all rounds form one ring, so that the
 * first also sees the last; a token that is twice among them counts twice. Rounds are joined by their lse.
 */
export function hashRounds(b: Builder, call: HashRoundsCall): void {
  const { q, k, v, buckets, rounds, chunk, before, after, o } = call;
  const [B, T, H] = q.shape as [number, number, number];
  const dv = v.shape[3]!;
  const { order } = sortByLabel(b, buckets, call.count);
  const ring = order.reshape([B, H, rounds * T]);
  const starts = chunkStarts(T, rounds, chunk);
  const chunks = starts.length - 1;
  // keys lie along the ring, opened where each query's chunks still follow one another
  const total = rounds * T;
  const startOf = (at: number) => starts[((at % chunks) + chunks) % chunks]! + Math.floor(at / chunks) * total;
  const first = startOf(-before);
  const length = startOf(chunks - 1 + after + 1) - first;
  const opened = b.temporary([B, H, length], 'i32');
  for (let at = first; at < first + length; ) {
    const from = ((at % total) + total) % total;
    const n = Math.min(total - from, first + length - at);
    copyIntegers(b, ring.slice(2, from, from + n), opened.slice(2, at - first, at - first + n));
    at += n;
  }
  const sequences: SequenceSpan[] = [];
  for (let batch = 0; batch < B * H; ++batch) {
    for (let at = 0; at < chunks; ++at) {
      const [qStart, kStart] = [starts[at]!, startOf(at - before) - first];
      const qLength = starts[at + 1]! - qStart;
      const kLength = startOf(at + after + 1) - first - kStart;
      sequences.push({ batch, qStart, qLength, kStart, kLength, offset: kLength - qLength });
    }
  }
  const rows = b.temporary([B * H, total, 1, dv]);
  const lse = b.temporary([B * H, total, 1]);
  flashAttend(
    b,
    {
      q: gatherHeads(b, q, ring),
      k: gatherHeads(b, k, opened),
      v: gatherHeads(b, v, opened),
      o: rows,
      lse,
      sequences,
      scale: call.scale,
      softcap: 0,
      window: [-1, call.causal ? 0 : -1],
    },
    {
      positions: { q: ring.reshape([B * H, total]), k: opened.reshape([B * H, length]) },
      selfScore: call.selfScore,
    },
  );
  // each round has a list and rows of its own
  const parts = scatterHeads(
    b,
    rows.reshape([B * H * rounds, T, 1, dv]),
    order,
    T,
    'assign',
    rounds === 1 ? o : undefined,
  );
  if (rounds === 1) return;
  const lseParts = scatterHeads(b, lse.reshape([B * H * rounds, T, 1]), order, T, 'assign');
  mergeParts(b, parts.reshape([B, T, H, rounds, dv]), lseParts.reshape([B, T, H, rounds]), o);
}
