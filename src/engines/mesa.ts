/**
 * Host side of MesaNet: two gated states, and a linear system in one of them for every token.
 *
 * @module
 */
import { MesaParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { type SequenceSpan, sequenceTable } from './sequences.ts';

/** Tokens of a chunk in the kernel, and of an item where a head has several. */
const CHUNK = 24;
const SEGMENT = 16 * CHUNK;
/** Heads of all sequences from which on they are items enough. */
const MANY_HEADS = 16;
/** Tokens of an item on a GPU: whole chunks of its kernel, and many items. */
const GPU_SEGMENT = 96;

/** One state before the tokens and after them. */
export interface MesaState {
  readonly initial: Tensor | undefined;
  readonly final: Tensor;
}

/** Operands are checked by the op. */
export interface MesaCall {
  /** [B, T, H, K] */
  readonly q: Tensor;
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  /** f32 [B, T, H] */
  readonly beta: Tensor;
  readonly g: Tensor | undefined;
  /** f32 [H, K] contiguous */
  readonly lamb: Tensor;
  /** f32 [B, T, H, V] */
  readonly o: Tensor;
  /** f32 [N, H, K, K] and [N, H, K, V], contiguous */
  readonly kk: MesaState;
  readonly kv: MesaState;
  readonly sequences: readonly SequenceSpan[];
  readonly maxIterations: number;
  readonly tolerance: number;
  /** Iterations start from q / (diagonal of H_kk + lamb) instead of 0. */
  readonly jacobi: boolean;
}

/** Adds the dispatches of a call. */
export function mesa(b: Builder, call: MesaCall): void {
  const { q, k, v, o, beta, g, lamb, kk, kv, sequences } = call;
  const [heads, dk, dv] = [v.shape[2]!, k.shape[3]!, v.shape[3]!];
  const longest = Math.max(1, ...sequences.map(({ qLength }) => qLength));
  const whole = Math.ceil(longest / CHUNK) * CHUNK;
  const few = sequences.length * heads < MANY_HEADS;
  const most = b.runtime.backend === 'webgpu' ? GPU_SEGMENT : few ? SEGMENT : whole;
  const segment = Math.min(most, whole);
  // an empty sequence has an item too, which hands its state on
  const segmentsOf = ({ qLength }: SequenceSpan) => Math.max(1, Math.ceil(qLength / segment));
  const table = sequenceTable(sequences, (span) => segmentsOf(span) * heads, 1);
  const several = longest > segment;
  const params = encode(MesaParams, {
    qType: storageOf(q),
    kType: storageOf(k),
    vType: storageOf(v),
    lamb: lamb.address,
    sequences: b.table(table.words),
    sequenceCount: sequences.length,
    heads,
    dk,
    dv,
    maxIterations: call.maxIterations,
    tolerance: call.tolerance,
    jacobi: call.jacobi ? 1 : 0,
    segment,
    segmentStates: several ? b.temporary([table.items, dk, dk + dv]).address : 0,
    kkIn: kk.initial?.address ?? 0,
    kvIn: kv.initial?.address ?? 0,
    kkOut: kk.final.address,
    kvOut: kv.final.address,
  });
  encodePlaces(MesaParams, params, { q, k, v, beta, g, o });
  const scratchBytes = b.runtime.scratchBytes('mesaScratchBytes', params);
  const tokens = sequences.reduce((n, { qLength }) => n + qLength, 0) * heads;
  if (several) {
    b.dispatch({
      kernel: 'mesaStates',
      params,
      items: sequences.length * heads,
      scratchBytes,
      flops: tokens * 2 * dk * (dk + dv),
    });
  }
  b.dispatch({
    kernel: 'mesa',
    params,
    items: table.items,
    scratchBytes,
    flops: tokens * (call.maxIterations * (2 * dk * dk + 4 * CHUNK * dk) + 4 * dk * (dk + dv)),
  });
  b.note(
    () =>
      `MesaNet engine: ${table.items} items of up to ${segment} tokens, at most ${call.maxIterations} iterations a token`,
  );
}
