/**
 * The scan engine: recurrences over [B, T, D] whose channels do not mix.
 *
 * A work item is a block of channels of one sequence. Where a few channels of one long sequence would leave threads without
 * work, time is cut into segments: each is scanned from a zero state, the states are joined, and what a segment's incoming
 * state adds to its outputs is added until the decays have made it vanish.
 *
 * @module
 */
import {
  LogSumParams,
  Rwkv4Params,
  ScanCombineParams,
  ScanParams,
  Segment,
  SelectiveScanParams,
} from '../generated/params.ts';
import { encode, encodeInto } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type SequenceSpan, sequencesOf } from './sequences.ts';

/**
 * Channels of a work item, at most and at least. 16 are one cache line of a token, whose rows are far apart in memory: the
 * more lines of each are taken at a time, the less often a page has to be found.
 */
const MOST_CHANNELS = 128;
const LEAST_CHANNELS = 16;
/** Values of a block's states that stay in the nearest cache. */
const BLOCK_STATES = 2048;
/** Work items that keep threads busy. */
const ENOUGH_ITEMS = 8;
/** Segments that a sequence is cut into, and the tokens below which cutting does not pay. */
const CUTS = 4;
const LEAST_SEGMENT = 512;
/** A workgroup of a GPU has 16 channels of a segment; so many of them keep it busy. */
const GPU_CHANNELS = 16;
const ENOUGH_GROUPS = 64;

/** The sequences of a call: those of the batch, or those packed along T. */
export function scanSequences(op: string, x: Tensor, cuSeqlens?: Tensor): SequenceSpan[] {
  const [B, T] = x.shape as [number, number];
  return sequencesOf(op, { B, Tq: T, Tk: T }, { cuSeqlens });
}

/** A batch of sequences over channels, and the states before and after. */
export interface ScanCall {
  readonly spans: readonly SequenceSpan[];
  /** [B, T, D] tensor whose rows the spans count. */
  readonly like: Tensor;
  /** One state of [D] or [D, N] for each sequence; `final` may be `initial`. */
  readonly initial?: Tensor | undefined;
  readonly final: Tensor;
}

/** How the work of a scan is divided. */
interface Division {
  /** Fields of ScanStateParams but the states. */
  readonly params: { segments: number; channels: number; block: number };
  readonly block: number;
  readonly items: number;
  /** Segments in all, and the table of each sequence's, where time is cut. */
  readonly cut?: { readonly segments: number; readonly sequences: number; readonly items: number };
}

/** Divides by channels, and by time where `cuttable` and channels do not suffice. Depends on shapes alone. */
function divide(b: Builder, { spans, like }: ScanCall, stateSize: number, cuttable: boolean): Division {
  const [, T, D] = like.shape as [number, number, number];
  let block = MOST_CHANNELS;
  const crowded = () => block * stateSize > BLOCK_STATES;
  const few = () => spans.length * Math.ceil(D / block) < ENOUGH_ITEMS;
  while (block > LEAST_CHANNELS && (crowded() || few())) block /= 2;
  const blocks = Math.ceil(D / block);
  const longest = spans.reduce((most, { qLength }) => Math.max(most, qLength), 0);
  const total = spans.reduce((sum, { qLength }) => sum + qLength, 0);
  const groups = spans.length * Math.ceil(D / GPU_CHANNELS);
  const onGpu = b.runtime.backend === 'webgpu';
  const idle = onGpu ? groups < ENOUGH_GROUPS : 2 * longest > total * blocks;
  const cut = cuttable && longest >= 2 * LEAST_SEGMENT && idle;
  const cuts = onGpu ? Math.ceil((2 * ENOUGH_GROUPS) / groups) : CUTS;
  const size = cut ? Math.max(LEAST_SEGMENT, Math.ceil(longest / cuts)) : Math.max(1, longest);
  const segments: number[][] = [];
  const sequences: number[] = [];
  for (const [sequence, { batch, qStart, qLength }] of spans.entries()) {
    const pieces = Math.max(1, Math.ceil(qLength / size));
    sequences.push(segments.length, pieces);
    for (let i = 0; i < pieces; ++i) {
      const row = batch * T + qStart + i * size;
      const length = Math.min(size, qLength - i * size);
      segments.push([row, length, i === 0 ? sequence : -1, cut ? segments.length : sequence, i === 0 ? 1 : 0]);
    }
  }
  const words = new Int32Array(Segment.length * segments.length);
  for (const [i, [row, length, initial, state, first]] of segments.entries()) {
    encodeInto(
      Segment,
      { row: row!, length: length!, initial: initial!, state: state!, first: first! },
      words,
      i * Segment.length,
    );
  }
  b.note(() =>
    cut
      ? `${segments.length} segments of up to ${size} tokens: ${blocks} blocks of channels are too few for threads`
      : `${spans.length} sequences x ${blocks} blocks of ${block} channels`,
  );
  return {
    params: { segments: b.table(words), channels: D, block },
    block,
    items: blocks * segments.length,
    ...(cut && {
      cut: {
        segments: segments.length,
        sequences: b.table(Int32Array.from(sequences)),
        items: blocks * spans.length,
      },
    }),
  };
}

/** Elements of all tokens of a call. */
function elements({ spans, like }: ScanCall): number {
  return spans.reduce((sum, { qLength }) => sum + qLength, 0) * like.shape[2]!;
}

/** Adds a scan in its plain form, or cut along time with the states joined and the outputs mended. */
function cutScan(
  b: Builder,
  call: ScanCall,
  division: Division,
  state: { a?: Tensor; n: number },
  kernels: {
    scan: (states: { initial: number; final: number }, running: number) => void;
    fix: (initial: number, running: number) => void;
  },
): void {
  const { cut, params } = division;
  const initial = call.initial?.address ?? 0;
  if (!cut) {
    kernels.scan({ initial, final: call.final.address }, 0);
    return;
  }
  const local = b.temporary([cut.segments, params.channels, state.n]).address;
  const running = b.temporary(call.like.shape).address;
  kernels.scan({ initial, final: local }, running);
  b.dispatch({
    kernel: 'scanCombine',
    params: encode(ScanCombineParams, params, {
      initial: local,
      final: call.final.address,
      sequences: cut.sequences,
      running,
      a: state.a?.address ?? 0,
      n: state.n,
    }),
    items: cut.items,
    flops: 2 * cut.segments * params.channels * state.n,
  });
  kernels.fix(local, running);
}

/** Operands of the element-wise recurrence. */
export interface ElementScanCall extends ScanCall {
  readonly x: Tensor;
  /** Log gates, or the recurrent gate of `rgLru`. */
  readonly g: Tensor;
  readonly o: Tensor;
  /** The gates of a real-gated linear recurrent unit. */
  readonly rgLru?: {
    readonly inputGate: Tensor;
    readonly recurrentParam: Tensor;
    readonly c: number;
    readonly reset: boolean;
  };
}

/** Adds h_t = a_t h_{t-1} + x_t with a_t = e^{g_t}, or with the gates of `rgLru`. */
export function elementScan(b: Builder, call: ElementScanCall): void {
  const division = divide(b, call, 1, true);
  const { x, g, o, rgLru } = call;
  const work = elements(call);
  cutScan(
    b,
    call,
    division,
    { n: 1 },
    {
      scan: (states, running) =>
        b.dispatch({
          kernel: rgLru ? 'rgLru' : 'hgrn',
          params: encode(ScanParams, division.params, states, {
            x: x.address,
            g: g.address,
            inputGate: rgLru?.inputGate.address ?? 0,
            recurrentParam: rgLru?.recurrentParam.address ?? 0,
            c: rgLru?.c ?? 0,
            reset: rgLru?.reset ? 1 : 0,
            o: o.address,
            running,
          }),
          items: division.items,
          scratchBytes: 12 * division.block,
          flops: (rgLru ? 50 : 20) * work,
        }),
      fix: (initial, running) =>
        b.dispatch({
          kernel: 'scanFix',
          params: encode(ScanParams, division.params, { initial, o: o.address, running }),
          items: division.items,
          flops: 2 * work,
        }),
    },
  );
}

/** Operands of the selective scan. */
export interface SelectiveScanCall extends ScanCall {
  readonly u: Tensor;
  readonly delta: Tensor;
  readonly A: Tensor;
  readonly B: Tensor;
  readonly C: Tensor;
  readonly D?: Tensor | undefined;
  readonly z?: Tensor | undefined;
  readonly deltaBias?: Tensor | undefined;
  readonly softplus: boolean;
  readonly o: Tensor;
}

/** Adds h_t = e^{dt A} h_{t-1} + dt u B_t, o_t = (C_t h_t + D u_t) silu(z_t). */
export function selectiveScanOn(b: Builder, call: SelectiveScanCall): void {
  const n = call.A.shape[1]!;
  const division = divide(b, call, n, true);
  const { block } = division;
  const work = elements(call) * (n + 2);
  const operands = {
    u: call.u.address,
    delta: call.delta.address,
    a: call.A.address,
    b: call.B.address,
    c: call.C.address,
    d: call.D?.address ?? 0,
    z: call.z?.address ?? 0,
    deltaBias: call.deltaBias?.address ?? 0,
    softplus: call.softplus ? 1 : 0,
    n,
    o: call.o.address,
  };
  cutScan(
    b,
    call,
    division,
    { a: call.A, n },
    {
      scan: (states, running) =>
        b.dispatch({
          kernel: 'selectiveScan',
          params: encode(SelectiveScanParams, { ...operands, running }, division.params, states),
          items: division.items,
          scratchBytes: 8 * n * block + 32 * n + 12 * block,
          flops: 20 * work,
        }),
      fix: (initial, running) =>
        b.dispatch({
          kernel: 'selectiveScanFix',
          params: encode(SelectiveScanParams, { ...operands, running, initial }, division.params),
          items: division.items,
          scratchBytes: 8 * n * block + 32 * n + 4 * block,
          flops: 20 * work,
        }),
    },
  );
}

/** Operands of RWKV-4's time mixing; `initial` and `final` are the numerators. */
export interface Rwkv4Call extends ScanCall {
  readonly k: Tensor;
  readonly v: Tensor;
  readonly w: Tensor;
  readonly u: Tensor;
  readonly o: Tensor;
  /** Denominators and maxima; the initial ones are absent with the numerators. */
  readonly initialDen?: Tensor | undefined;
  readonly initialMax?: Tensor | undefined;
  readonly finalDen: Tensor;
  readonly finalMax: Tensor;
}

/** Adds RWKV-4's weighted average, its sums kept relative to a running maximum. */
export function rwkv4On(b: Builder, call: Rwkv4Call): void {
  const division = divide(b, call, 1, false);
  b.dispatch({
    kernel: 'rwkv4',
    params: encode(Rwkv4Params, division.params, {
      k: call.k.address,
      v: call.v.address,
      w: call.w.address,
      u: call.u.address,
      o: call.o.address,
      initial: call.initial?.address ?? 0,
      initialDen: call.initialDen?.address ?? 0,
      initialMax: call.initialMax?.address ?? 0,
      final: call.final.address,
      finalDen: call.finalDen.address,
      finalMax: call.finalMax.address,
    }),
    items: division.items,
    scratchBytes: 4 * division.block,
    flops: 60 * elements(call),
  });
}

/** Operands of the running logarithm of a sum of exponentials; `like` is x, and outputs left out are not computed. */
export interface LogSumCall extends ScanCall {
  /** z_t = ln sum_{s <= t} e^{x_s}. */
  readonly o?: Tensor | undefined;
  /** e^{z_{t-1} - z_t}, 1 while the sum is empty: decay of what the sum normalises. */
  readonly decay?: Tensor | undefined;
  /** e^{x_t - z_t}: weight with which token t enters. */
  readonly w?: Tensor | undefined;
}

/**
 * Adds the running ln of a sum of exponentials of `like` [B, T, D], and the gates by which ABC and LightNet normalise:
 * with S_t = decay_t S_{t-1} + w_t v_t the state is sum_s e^{x_s - z_t} v_s. `initial` and `final` are z [sequences, D];
 * without `initial`, or where it is -Infinity, the sum is empty.
 */
export function logSumGates(b: Builder, call: LogSumCall): void {
  const division = divide(b, call, 1, false);
  b.dispatch({
    kernel: 'logSum',
    params: encode(LogSumParams, division.params, {
      x: call.like.address,
      o: call.o?.address ?? 0,
      decay: call.decay?.address ?? 0,
      w: call.w?.address ?? 0,
      initial: call.initial?.address ?? 0,
      final: call.final.address,
    }),
    items: division.items,
    scratchBytes: 12 * division.block,
    flops: 80 * elements(call),
  });
}
