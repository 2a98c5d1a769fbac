/**
 * Host side of the convolution kernels.
 *
 * @module
 */
import { CausalConvParams, CenteredConvParams, DepthwiseConv2dParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { ACTIVATIONS } from './gemm.ts';
import { type SequenceSpan, sequenceTable } from './sequences.ts';
import { overTokens } from './tokens.ts';

const BLOCK_T = 512;
const BLOCK_D = 256;

/** One causal convolution along time. */
export interface CausalConvCall {
  /** f32 [B, T, D], last axis contiguous. */
  readonly x: Tensor;
  /** f32 [D, W] */
  readonly weight: Tensor;
  readonly bias?: Tensor | undefined;
  /** f32 [N, D, W - 1] */
  readonly initialState?: Tensor | undefined;
  /** As initialState; may be it where sequences have no more than 512 rows. */
  readonly finalState: Tensor;
  readonly o: Tensor;
  readonly sequences: readonly SequenceSpan[];
  readonly activation: 'none' | 'silu';
}

/** Adds a causal convolution. */
export function causalConv(b: Builder, call: CausalConvCall): void {
  const { x, weight, o } = call;
  const [channels, taps] = weight.shape as [number, number];
  const blockT = Math.max(BLOCK_T, taps);
  const blockD = Math.min(BLOCK_D, Math.ceil(channels / 4) * 4);
  const blocks = Math.ceil(channels / Math.max(1, blockD));
  // an empty sequence has an item too: its state is handed on
  const { words, items } = sequenceTable(
    call.sequences,
    ({ qLength }) => Math.max(1, Math.ceil(qLength / blockT)) * blocks,
    64,
  );
  if (items === 0) return;
  const params = encode(CausalConvParams, {
    x: x.address,
    xStrideB: x.strides[0]!,
    xStrideT: x.strides[1]!,
    weight: weight.address,
    bias: call.bias?.address ?? 0,
    initialState: call.initialState?.address ?? 0,
    finalState: call.finalState.address,
    o: o.address,
    oStrideB: o.strides[0]!,
    oStrideT: o.strides[1]!,
    sequences: b.table(words),
    sequenceCount: call.sequences.length,
    channels,
    taps,
    blockT,
    blockD,
    activation: ACTIVATIONS.indexOf(call.activation),
  });
  b.dispatch({
    kernel: 'causalConv',
    params,
    items,
    scratchBytes: b.runtime.scratchBytes('causalConvScratchBytes', params),
    flops: x.size * (2 * taps + (call.activation === 'silu' ? 10 : 0)),
  });
}

/** Adds a depthwise convolution of images x [B, height, width, C] by weight [kh, kw, C]. */
export function depthwiseConv2d(b: Builder, x: Tensor, weight: Tensor, bias: Tensor | undefined, o: Tensor): void {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const [kh, kw] = weight.shape as [number, number];
  if (o.size === 0) return;
  b.dispatch({
    kernel: 'depthwiseConv2d',
    params: encode(DepthwiseConv2dParams, {
      x: x.address,
      weight: weight.address,
      bias: bias?.address ?? 0,
      o: o.address,
      height,
      width,
      channels,
      kh,
      kw,
    }),
    items: batch * height,
    flops: 2 * x.size * kh * kw,
  });
}

/** Adds o = the convolution of x [B, T, H, D] along T around every token by weight [H, taps], zeros past the ends. */
export function centeredConv(b: Builder, x: Tensor, weight: Tensor, o: Tensor): void {
  const taps = weight.shape[1]!;
  const cost = { flops: 2 * taps, elements: Math.ceil(8192 / taps) };
  overTokens(b, 'centeredConv', CenteredConvParams, { x, o }, { weight: weight.address, taps }, cost);
}
