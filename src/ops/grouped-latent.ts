/**
 * Grouped latent attention.
 *
 * @module
 */
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type LatentInputs, type MlaOptions, planLatents } from './mla.ts';

const OP = 'groupedLatentAttention';

/** Lays out the call. */
export function planGroupedLatent(b: Builder, inputs: LatentInputs, options: MlaOptions): { o: Tensor } {
  return planLatents(b, OP, inputs, options);
}

/**
 * Grouped latent attention (GLA-2 for two latent heads): each group of query heads has a latent of its own, from which its keys and values
 * come as in `mla`; the rotated part of keys is one for all. Devices that hold a group of heads each hold the latents of that group only.
 * One latent head is `mla`.
 *
 * Shapes: qNope [B, Tq, H, N], qRope [B, Tq, H, R], cKv [B, Tk, L, C], kRope [B, Tk, R], wUk [H, C, N], wUv [H, C, V] -> o [B, Tq, H, V];
 * the cache is cKv and kRope, L C + R numbers a token, which absorbed attention reads where they lie.
 *
 * Source: Hardware-Efficient Attention for Fast Decoding (Zadouri 2025); reference implementation Dao-AILab/grouped-latent-attention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await groupedLatentAttention({ qNope, qRope, cKv, kRope, wUk, wUv }, { causal: true })
 */
export function groupedLatentAttention(inputs: LatentInputs, options: MlaOptions = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planGroupedLatent(b, inputs, options));
}

/** As `groupedLatentAttention`, to the end before it returns. */
export function groupedLatentAttentionSync(inputs: LatentInputs, options: MlaOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planGroupedLatent(b, inputs, options));
}
