import { softmax } from './attention.ts';
import { dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { rope } from './rope.ts';

/** What a key/value head keeps: the first `sinks` keys and the last `window`. */
export interface Keeps {
  sinks: number;
  window: number;
}

/** How a cache attends. */
export interface CacheOptions {
  /** For each key/value head. */
  keeps: readonly Keeps[];
  /** Turn keys and queries by their place among the keys that are kept. */
  rope?: { theta: number; interleaved: boolean } | undefined;
  scale?: number | undefined;
  softcap?: number | undefined;
}

/**
 * A cache that is fed token by token: every head has a list of the tokens that it keeps, lets one go where it has too many, and attends to
 * the list; with rope, key and query are turned by their index in the list (StreamingLLM, arXiv 2309.17453).
 *
 * q [1,T,Hq,D], k and v [1,T,Hkv,D], as they are stored.
 */
export function cacheAttention(
  { q, k, v }: { q: NdArray; k: NdArray; v: NdArray },
  { keeps, rope: turn, scale, softcap }: CacheOptions,
  round: Round = float64,
): { o: Result } {
  const [, T = 0, heads = 0, d = 0] = q.shape;
  const group = heads / k.shape[2]!;
  const factor = round(scale ?? d ** -0.5);
  const o = zeros(q.shape);
  const turned = (x: NdArray, at: number, place: number): NdArray => {
    const row = { shape: [1, 1, 1, d], data: Array.from({ length: d }, (_, c) => x.data[at + c]!) };
    return turn ? rope({ x: row }, { base: turn.theta, interleaved: turn.interleaved, offset: place }, round).o : row;
  };
  for (let h = 0; h < heads; h++) {
    const kvHead = Math.floor(h / group);
    const { sinks, window } = keeps[kvHead]!;
    const kept: number[] = [];
    for (let t = 0; t < T; t++) {
      kept.push(t);
      if (kept.length > sinks + window) kept.splice(sinks, 1);
      const query = turned(q, offset(q.shape, 0, t, h, 0), kept.length - 1);
      const logits = kept.map((j, place) => {
        const key = turned(k, offset(k.shape, 0, j, kvHead, 0), place);
        const s = round(factor * dot(query.data, 0, 1, key.data, 0, 1, d, round));
        return softcap ? round(softcap * round(Math.tanh(round(s / softcap)))) : s;
      });
      const { p } = softmax(logits, round);
      for (let c = 0; c < d; c++) {
        let sum = 0;
        for (const [n, j] of kept.entries())
          sum = round(sum + round(p[n]! * v.data[offset(v.shape, 0, j, kvHead, c)]!));
        o.data[offset(o.shape, 0, t, h, c)] = sum;
      }
    }
  }
  return { o };
}
