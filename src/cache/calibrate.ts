/**
 * Scales and codebooks from data, made once before a cache is used.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import type { KeyCalibration } from './code-plan.ts';

/** Numbers that a codebook is fitted to, at most: more do not change it. */
const MOST_SAMPLES = 65536;
const ROUNDS = 50;

/** The number below which `share` of sorted numbers lie. */
function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))]!;
}

/**
 * The codebook of 2^bits levels with the least sum of weighted squares over the samples, by k-means (Lloyd) from their quantiles.
 *
 * @param weights one for each sample, as the Fisher information of KVQuant; default: ones.
 * @throws OptionError if there are no samples.
 */
export function fitCodebook(samples: ArrayLike<number>, bits: 4 | 2, weights?: ArrayLike<number>): Float32Array {
  if (samples.length === 0) throw new OptionError('fitCodebook: there are no samples');
  const stride = Math.ceil(samples.length / MOST_SAMPLES);
  const chosen = Array.from({ length: Math.floor((samples.length - 1) / stride) + 1 }, (_, i) => i * stride);
  const order = chosen.sort((a, b) => samples[a]! - samples[b]!);
  const sorted = Float64Array.from(order, (i) => samples[i]!);
  const weight = Float64Array.from(order, (i) => weights?.[i] ?? 1);
  const count = 2 ** bits;
  const levels = Float64Array.from({ length: count }, (_, i) => quantile(sorted, (i + 0.5) / count));
  for (let round = 0; round < ROUNDS; ++round) {
    let moved = 0;
    let at = 0;
    for (let i = 0; i < count; ++i) {
      // the samples nearer to this level than to the next one
      const end = i + 1 < count ? (levels[i]! + levels[i + 1]!) / 2 : Number.POSITIVE_INFINITY;
      let [sum, total] = [0, 0];
      for (; at < sorted.length && sorted[at]! <= end; ++at) {
        sum += weight[at]! * sorted[at]!;
        total += weight[at]!;
      }
      if (total === 0) continue;
      moved = Math.max(moved, Math.abs(sum / total - levels[i]!));
      levels[i] = sum / total;
    }
    if (moved < 1e-6) break;
  }
  return Float32Array.from(levels.sort());
}

/**
 * Scales and offsets of each channel and a codebook for them, from keys before their rotation.
 *
 * A channel reaches from the quantile `outliers / 2` of its keys to that of `1 - outliers / 2`; what lies outside is for the outliers.
 *
 * Source: KVQuant (Hooper 2024), offline calibration of keys and non-uniform codes.
 *
 * @param k [T, Hkv, D]
 * @throws OptionError if the numbers are no such keys.
 */
export function calibrateKeys(
  k: ArrayLike<number>,
  shape: readonly [tokens: number, kvHeads: number, headDim: number],
  { bits = 4, outliers = 0.01 }: { bits?: 4 | 2; outliers?: number } = {},
): KeyCalibration {
  const [tokens, heads, dim] = shape;
  const channels = heads * dim;
  if (tokens < 1 || k.length !== tokens * channels) {
    throw new OptionError(
      `calibrateKeys: ${k.length} numbers were given for keys [${shape}], expected ${tokens * channels}`,
    );
  }
  if (!(outliers >= 0 && outliers < 1)) {
    throw new OptionError(`calibrateKeys: outliers is ${outliers}, expected a share from 0 to below 1`);
  }
  const scale = new Float32Array(channels);
  const offset = new Float32Array(channels);
  const inside: number[] = [];
  for (let c = 0; c < channels; ++c) {
    const own = Float64Array.from({ length: tokens }, (_, t) => k[t * channels + c]!).sort();
    const [low, high] = [quantile(own, outliers / 2), quantile(own, 1 - outliers / 2)];
    offset[c] = (low + high) / 2;
    scale[c] = (high - low) / 2;
    for (const x of own) if (scale[c]! > 0 && x >= low && x <= high) inside.push((x - offset[c]!) / scale[c]!);
  }
  return { scale, offset, codebook: inside.length > 0 ? fitCodebook(inside, bits) : new Float32Array(2 ** bits) };
}
