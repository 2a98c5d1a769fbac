/** Picks the next token from the logits of one position. */
export type Sampler = (logits: Float32Array) => number;

/** The token with the largest logit, the first of equals. */
export const greedy: Sampler = (logits) => logits.reduce((best, logit, id) => (logit > logits[best]! ? id : best), 0);

/**
 * Draws from softmax(logits / temperature); temperature 0 is greedy.
 *
 * @param seed whole number from 1 on: the same seed gives the same draws.
 * @throws RangeError if temperature is negative or seed is not such a number.
 */
export function sampler(temperature: number, seed: number): Sampler {
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new RangeError(`temperature is ${temperature}, expected a finite number from 0 on`);
  }
  if (!Number.isSafeInteger(seed) || seed < 1)
    throw new RangeError(`seed is ${seed}, expected a whole number from 1 on`);
  if (temperature === 0) return greedy;
  const random = xorshift(seed);
  return (logits) => {
    const most = logits.reduce((a, b) => Math.max(a, b));
    const weights = Float64Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
    let left = random() * weights.reduce((a, b) => a + b);
    for (const [id, weight] of weights.entries()) {
      left -= weight;
      if (left < 0) return id;
    }
    // rounding can leave a rest after the last weight
    return greedy(logits);
  };
}

/** Numbers in [0, 1) by xorshift64* (Vigna 2016), as in llama2.c. */
function xorshift(seed: number): () => number {
  const mask = 2n ** 64n - 1n;
  let state = BigInt(seed);
  return () => {
    state ^= state >> 12n;
    state ^= (state << 25n) & mask;
    state ^= state >> 27n;
    return Number((((state * 0x2545f4914f6cdd1dn) & mask) >> 40n) & 0xffffffn) / 2 ** 24;
  };
}
