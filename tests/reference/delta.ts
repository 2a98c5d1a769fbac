import {
  addOuter,
  carried,
  inner,
  type Recurrence,
  readOut,
  row,
  scaleRows,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** A row of numbers at a token: value head h, key head kh. */
export type RowOf = (b: number, t: number, h: number, kh: number) => number[];

/** What the direct and the master recurrence share. */
export interface DeltaChoices {
  /** Default K^-1/2. */
  scale?: number | undefined;
  /** Factors of the K rows of the state; ones where left out. */
  decay?: RowOf | undefined;
  /** Default the rows of q, k and v. */
  query?: RowOf;
  key?: RowOf;
  value?: RowOf;
  /** The state after every so many tokens is kept. */
  snapshotEvery?: number | undefined;
}

/** What a method of the delta family gives; `snapshots` where they are asked for. */
export interface DeltaOutputs extends Record<string, Result> {
  o: Result;
  finalState: Result;
}

/** Goes through all tokens: `update` changes matrix (n, h) of the states, which is then read and, where asked for, kept. */
function overTokens(
  { q, v, initialState, cuSeqlens }: Recurrence,
  { scale, query, snapshotEvery }: DeltaChoices,
  round: Round,
  update: (states: Result, n: number, b: number, t: number, h: number, kh: number) => void,
): DeltaOutputs {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const spans = sequences(v, cuSeqlens);
  const o = zeros(v.shape);
  const finalState = carried(initialState, [spans.length, heads, dk, dv]);
  const factor = round(scale ?? dk ** -0.5);
  const every = snapshotEvery ?? Number.POSITIVE_INFINITY;
  const kept = Math.floor(Math.max(0, ...spans.map(({ from, to }) => to - from)) / every);
  const snapshots = zeros([spans.length, kept, heads, dk, dv]);
  const size = heads * dk * dv;
  for (const { n, b, from, to } of spans)
    for (let t = from; t < to; t++) {
      for (let h = 0; h < heads; h++) {
        const kh = Math.floor(h / (heads / keyHeads));
        update(finalState, n, b, t, h, kh);
        const asked = query?.(b, t, h, kh) ?? row(q, b, t, kh);
        setRow(o, readOut(times(asked, factor, round), finalState, n, h, round), b, t, h);
      }
      const done = t + 1 - from;
      if (done % every === 0) {
        snapshots.data.set(finalState.data.subarray(n * size, (n + 1) * size), (n * kept + done / every - 1) * size);
      }
    }
  return { o, finalState, ...(snapshotEvery && { snapshots }) };
}

/**
 * The delta rule: S*_t = diag(decay_t) S_{t-1}, S_t = S*_t + key_t^T beta_t (value_t - reader_t S*_t), o_t = scale query_t S_t; with
 * `readsOld` the reader reads S_{t-1} (Gated Delta Networks, arXiv 2412.06464).
 */
export function deltaRecurrence(
  inputs: Recurrence,
  {
    reader,
    beta,
    readsOld = false,
    ...choices
  }: DeltaChoices & {
    /** Default the key. */
    reader?: RowOf;
    /** Default 1. */
    beta?: (b: number, t: number, h: number) => number;
    readsOld?: boolean;
  },
  round: Round,
): DeltaOutputs {
  const { decay } = choices;
  return overTokens(inputs, choices, round, (states, n, b, t, h, kh) => {
    const key = choices.key?.(b, t, h, kh) ?? row(inputs.k, b, t, kh);
    const value = choices.value?.(b, t, h, kh) ?? row(inputs.v, b, t, h);
    const reads = reader?.(b, t, h, kh) ?? key;
    const fade = () => decay && scaleRows(states, n, h, decay(b, t, h, kh), round);
    if (!readsOld) fade();
    const read = readOut(reads, states, n, h, round);
    if (readsOld) fade();
    const strength = beta?.(b, t, h) ?? 1;
    const written = value.map((x, d) => round(strength * round(x - read[d]!)));
    addOuter(states, n, h, key, written, round);
  });
}

/**
 * The master recurrence of the family, a diagonal and a low-rank part: S_t = diag(decay_t) S_{t-1} + b_t^T (a_t S_{t-1}) + key_t^T value_t,
 * o_t = scale query_t S_t (fla, generalized_delta_rule).
 */
export function masterRecurrence(
  inputs: Recurrence,
  { a, b: along, ...choices }: DeltaChoices & { a: RowOf; b: RowOf },
  round: Round,
): DeltaOutputs {
  const { decay } = choices;
  return overTokens(inputs, choices, round, (states, n, b, t, h, kh) => {
    const read = readOut(a(b, t, h, kh), states, n, h, round);
    if (decay) scaleRows(states, n, h, decay(b, t, h, kh), round);
    addOuter(states, n, h, along(b, t, h, kh), read, round);
    const key = choices.key?.(b, t, h, kh) ?? row(inputs.k, b, t, kh);
    addOuter(states, n, h, key, choices.value?.(b, t, h, kh) ?? row(inputs.v, b, t, h), round);
  });
}

/** x / sqrt(sum x^2 + eps). */
export function l2normalized(x: readonly number[], round: Round, eps = 1e-6): number[] {
  const norm = round(Math.sqrt(round(inner(x, x, round) + eps)));
  return x.map((value) => round(value / norm));
}

/** a b, element by element. */
export function products(a: readonly number[], b: readonly number[], round: Round): number[] {
  return a.map((x, c) => round(x * b[c]!));
}

/** The rows of x [B,T,H,D], or of the value heads where it has as many as they. */
export function rowsOf(x: NdArray, valueHeads: number): RowOf {
  const perValueHead = x.shape[2] === valueHeads;
  return (b, t, h, kh) => row(x, b, t, perValueHead ? h : kh);
}
