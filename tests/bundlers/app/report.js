/**
 * What every fixture shows: that the package, as its bundler made it, computes in this page.
 *
 * @module
 */
const [T, H, KV, D] = [256, 4, 2, 32];

const random = (length, seed) => {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
};

/** Causal attention of grouped heads in double precision, as its definition says it: [T, H, D]. */
function definition(q, k, v) {
  const o = new Float64Array(T * H * D);
  for (let h = 0; h < H; ++h) {
    const g = Math.floor((h * KV) / H);
    for (let i = 0; i < T; ++i) {
      const scores = [];
      for (let j = 0; j <= i; ++j) {
        let score = 0;
        for (let d = 0; d < D; ++d) score += q[(i * H + h) * D + d] * k[(j * KV + g) * D + d];
        scores.push(score / Math.sqrt(D));
      }
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const sum = weights.reduce((a, b) => a + b);
      for (let j = 0; j <= i; ++j) {
        for (let d = 0; d < D; ++d) o[(i * H + h) * D + d] += (weights[j] / sum) * v[(j * KV + g) * D + d];
      }
    }
  }
  return o;
}

const error = (o, expected, from = 0) =>
  o.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[from + i])), o.length === 0 ? Infinity : 0);

/**
 * Attention, a cache in two parts and the picture of a mask, whose writer is a chunk loaded on demand: errors against the
 * definition, and what the runtime says of itself.
 */
export async function report({ attention, blockMask, createRuntime, KVCache }, options) {
  const rt = await createRuntime(options);
  await rt.ready();
  const [q, k, v] = [random(T * H * D, 1), random(T * KV * D, 2), random(T * KV * D, 3)];
  const expected = definition(q, k, v);
  const tensors = { q: rt.tensor(q, [1, T, H, D]), k: rt.tensor(k, [1, T, KV, D]), v: rt.tensor(v, [1, T, KV, D]) };
  const { o } = await attention(tensors, { causal: true });
  const attentionError = error(await o.data(), expected);

  const cache = new KVCache(rt, { layers: 1, kvHeads: KV, headDim: D, capacity: T });
  let cacheError = 0;
  for (const [from, to] of [
    [0, 100],
    [100, 101],
  ]) {
    const part = (x, heads) => rt.tensor(x.slice(from * heads * D, to * heads * D), [1, to - from, heads, D]);
    const { o } = await cache.extend(0, { q: part(q, H), k: part(k, KV), v: part(v, KV) });
    cacheError = Math.max(cacheError, error(await o.data(), expected, from * H * D));
  }

  const picture = await blockMask((_b, _h, i, j) => i - j < 64, { Tq: T, Tk: T }).toImage();
  const { variant, threads, threadsReason } = rt.info();
  rt.dispose();
  return { attentionError, cacheError, picture, variant, threads, threadsReason };
}
