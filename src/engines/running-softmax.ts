/**
 * Gates that keep running softmax averages in the states of the gated-linear engine.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { packed } from './copy.ts';
import { logSumGates } from './scan.ts';
import type { SequenceSpan } from './sequences.ts';

/** Logarithms of weights, and the running ln of their sum. */
export interface RunningSoftmax {
  /** f32 [B, T, H, M], rows contiguous. */
  readonly x: Tensor;
  readonly sequences: readonly SequenceSpan[];
  /** f32 [N, H, M]; absent: nothing was summed. */
  readonly initial?: Tensor | undefined;
  /** f32 [N, H, M]; may be `initial`. */
  readonly final: Tensor;
}

/** Adds the decays g_t = e^(z_{t-1} - z_t), which are not logs, and s_t = e^(x_t - z_t), z_t = ln sum_{s <= t} e^x_s. */
export function runningSoftmax(b: Builder, { x, sequences, initial, final }: RunningSoftmax): { g: Tensor; s: Tensor } {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const g = b.temporary(x.shape);
  const s = b.temporary(x.shape);
  const flat = (tensor: Tensor) => tensor.reshape([batch, length, heads * d]);
  logSumGates(b, { spans: sequences, like: flat(packed(b, x)), decay: flat(g), w: flat(s), initial, final });
  return { g, s };
}
