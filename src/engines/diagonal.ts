/**
 * Host side of the complex diagonal scan: x_t = a x_{t-1} + b u_t, o_t = Re sum c x_t + d u_t, step by step or as a
 * convolution.
 *
 * @module
 */
import {
  DiagonalKernelParams,
  DiagonalScanParams,
  DiagonalStateParams,
  DiagonalTableParams,
} from '../generated/params.ts';
import { encode, type Values } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { fftConvolve } from './fft.ts';
import { type SequenceSpan, sequenceTable } from './sequences.ts';

/** How a and b follow from eigenvalues and steps. */
export type DiagonalRule = 'zoh' | 'bilinear' | 'softmax';

const RULES: readonly DiagonalRule[] = ['zoh', 'bilinear', 'softmax'];
/** Steps of one table of powers. */
const SPAN = 64;

/** Eigenvalues, steps and output weights of all channels. */
export interface DiagonalSystem {
  /** f32 [H, N] */
  readonly aReal: Tensor;
  readonly aImag: Tensor;
  /** f32 [H, N, 2] */
  readonly c: Tensor;
  /** f32 [H] */
  readonly logDt: Tensor;
  readonly rule: DiagonalRule;
  /** Factor on c: 2 where each state stands for a conjugate pair. */
  readonly factor: number;
  /** Steps that rule 'softmax' normalises over. */
  readonly span?: number | undefined;
  /** Added to squared sizes that rule 'softmax' divides by. */
  readonly eps?: number | undefined;
}

function systemParams(system: DiagonalSystem): Values<typeof DiagonalTableParams> {
  return {
    aReal: system.aReal.address,
    aImag: system.aImag.address,
    logDt: system.logDt.address,
    c: system.c.address,
    states: system.aReal.shape[1]!,
    rule: RULES.indexOf(system.rule),
    span: system.span ?? 0,
    eps: system.eps ?? 0,
    factor: system.factor,
  };
}

/** Shape of the table of coefficients. */
export function tableShape(channels: number, states: number): number[] {
  return [channels, Math.ceil(states / 4), 8, 4];
}

/** Adds the coefficients of a system to `table`. */
export function diagonalTable(b: Builder, system: DiagonalSystem, table: Tensor): void {
  const [channels, states] = system.aReal.shape as [number, number];
  b.dispatch({
    kernel: 'diagonalTable',
    params: encode(DiagonalTableParams, systemParams(system), { table: table.address }),
    items: channels,
    grain: Math.max(1, Math.ceil(512 / Math.max(1, states))),
    scratchBytes: 64,
    flops: 100 * system.aReal.size,
  });
}

/** One scan or convolution. */
export interface DiagonalCall {
  /** f32 [B, T, H], last axis contiguous. */
  readonly u: Tensor;
  /** f32 [H] */
  readonly d?: Tensor | undefined;
  /** f32 [S, H, N, 2] */
  readonly initialState?: Tensor | undefined;
  /** As initialState; may be it. */
  readonly finalState: Tensor;
  readonly o: Tensor;
  readonly sequences: readonly SequenceSpan[];
}

/** Adds the recurrence. */
export function diagonalScan(b: Builder, table: Tensor, call: DiagonalCall): void {
  const { u, d, initialState, finalState, o } = call;
  const [, channels, states] = finalState.shape as [number, number, number];
  const blockD = u.shape[0]! * channels >= 128 ? 16 : 4;
  const { words, items } = sequenceTable(call.sequences, () => Math.ceil(channels / blockD), 64);
  if (items === 0) return;
  const params = encode(DiagonalScanParams, {
    u: u.address,
    uStrideB: u.strides[0]!,
    uStrideT: u.strides[1]!,
    table: table.address,
    initialState: initialState?.address ?? 0,
    finalState: finalState.address,
    d: d?.address ?? 0,
    o: o.address,
    oStrideB: o.strides[0]!,
    oStrideT: o.strides[1]!,
    sequences: b.table(words),
    sequenceCount: call.sequences.length,
    channels,
    states,
    blockD,
  });
  b.dispatch({
    kernel: 'diagonalScan',
    params,
    items,
    scratchBytes: b.runtime.scratchBytes('diagonalScanScratchBytes', params),
    flops: 12 * u.size * states,
  });
}

/** Adds f32 [rows, T to a multiple of 64] sums of powers: kernels of H rows, or responses to `state` [rows, N, 2]. */
function powerSums(b: Builder, system: DiagonalSystem, rows: number, length: number, state?: Tensor): Tensor {
  const [channels, states] = system.aReal.shape as [number, number];
  const o = b.temporary([rows, Math.ceil(length / SPAN) * SPAN]);
  b.dispatch({
    kernel: 'diagonalKernel',
    params: encode(DiagonalKernelParams, systemParams(system), {
      state: state?.address ?? 0,
      o: o.address,
      channels,
      length,
    }),
    items: rows,
    // two tables of powers, and coefficients
    scratchBytes: 1152,
    flops: rows * states * (4 * length + 1000),
  });
  return o;
}

/** Adds the same by a convolution with the kernel K_l = Re sum c b a^l, for sequences that are batch entries. */
export function diagonalConvolve(b: Builder, system: DiagonalSystem, call: DiagonalCall): void {
  const { u, d, initialState, finalState, o } = call;
  const [batch, length, channels] = u.shape as [number, number, number];
  const kernel = powerSums(b, system, channels, length);
  const response = initialState && powerSums(b, system, batch * channels, length, initialState);
  const added = response?.reshape([batch, channels, response.shape[1]!]);
  fftConvolve(b, { u, kernel, taps: length, d, added, o });
  const params = encode(DiagonalStateParams, systemParams(system), {
    u: u.address,
    uStrideB: u.strides[0]!,
    uStrideT: u.strides[1]!,
    initialState: initialState?.address ?? 0,
    finalState: finalState.address,
    batch,
    length,
    channels,
  });
  b.dispatch({
    kernel: 'diagonalState',
    params,
    items: batch > 0 ? channels : 0,
    scratchBytes: b.runtime.scratchBytes('diagonalStateScratchBytes', params),
    flops: 4 * u.size * system.aReal.shape[1]!,
  });
}
