/**
 * Queries, keys and values made of a text without a trained model.
 *
 * A token, the last two tokens and the last four each have a random vector of their own, drawn from their hash. Seeded random matrices turn
 * these into queries, keys and values; queries and keys share theirs, so that what is alike in the text has a high score.
 *
 * @module
 */
import { matmulSync, type Runtime, type Tensor } from 'wattn';
import { mix, normals } from './random.ts';

/** What each head compares. */
export const HEADS = ['same token', 'same two tokens', 'same four tokens', 'what came after the same two'] as const;
/** Channels of a head. */
export const DIM = 64;
/** Length of queries and keys: equal ones score SHARPNESS^2 / sqrt(DIM) = 8. */
const SHARPNESS = 8;
/** Tokens that each head's queries look at, and how far behind them its keys do. */
const ORDERS = [
  { tokens: 1, shift: 0 },
  { tokens: 2, shift: 0 },
  { tokens: 4, shift: 0 },
  { tokens: 2, shift: 1 },
] as const;
const SEED = 7;
const START = 0x5eed;

/** Operands that methods take besides q, k and v; logarithms of gates, rates of writing, weights of branches, global tokens. */
export type OperandKind = 'headGate' | 'channelGate' | 'rate' | 'third' | 'globals';

/** The numbers of a text. */
export interface Problem {
  readonly length: number;
  /** f32 [T, H, D] */
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  /** What else methods ask for, made when it is first asked for. */
  operand(kind: OperandKind): { readonly data: Float32Array | Uint8Array; readonly shape: readonly number[] };
}

/** One row for each place: the vector of the last `order` tokens there, of this length. */
function rowsOf(tokens: Uint32Array, order: number, shift: number): Float32Array {
  const vectors = new Map<number, Float32Array>();
  const rows = new Float32Array(tokens.length * DIM);
  for (let t = 0; t < tokens.length; ++t) {
    let hash = mix(SEED, order);
    for (let n = t - shift - order + 1; n <= t - shift; ++n) hash = mix(hash, n < 0 ? START + n : tokens[n]!);
    let vector = vectors.get(hash);
    if (!vector) {
      vector = normals(hash, DIM);
      const length = Math.hypot(...vector);
      for (let c = 0; c < DIM; ++c) vector[c]! *= SHARPNESS / length;
      vectors.set(hash, vector);
    }
    rows.set(vector, t * DIM);
  }
  return rows;
}

/** The text `tokens`, from its start again where it is shorter than `length`. */
export function repeated(tokens: Uint32Array, length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, t) => tokens[t % tokens.length]!);
}

/** Makes the numbers; projections are matrix products of the package. */
export function makeProblem(rt: Runtime, tokens: Uint32Array): Problem {
  const [length, heads] = [tokens.length, HEADS.length];
  const [q, k, v] = Array.from({ length: 3 }, () => new Float32Array(length * heads * DIM)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const project = (rows: Float32Array, width: number, seed: number): Float32Array =>
    rt.scope(() => {
      const w = rt.tensor(normals(mix(SEED, seed), DIM * width, DIM ** -0.5), [DIM, width]);
      return matmulSync({ a: rt.tensor(rows, [length, DIM]), b: w }).o.dataSync() as Float32Array;
    });
  const place = (into: Float32Array, head: number, rows: Float32Array) => {
    for (let t = 0; t < length; ++t) into.set(rows.subarray(t * DIM, (t + 1) * DIM), (t * heads + head) * DIM);
  };
  const words = rowsOf(tokens, 1, 0);
  for (const [head, { tokens: order, shift }] of ORDERS.entries()) {
    place(q, head, project(rowsOf(tokens, order, 0), DIM, 10 + head));
    place(k, head, project(rowsOf(tokens, order, shift), DIM, 10 + head));
    place(v, head, project(words, DIM, 20 + head));
  }

  const made = new Map<OperandKind, { data: Float32Array | Uint8Array; shape: number[] }>();
  const make = (kind: OperandKind): { data: Float32Array | Uint8Array; shape: number[] } => {
    const each = [1, length, heads];
    if (kind === 'globals') return { data: Uint8Array.from({ length }, (_, t) => (t < 4 ? 1 : 0)), shape: [1, length] };
    if (kind === 'third') return { data: new Float32Array(length * heads).fill(1 / 3), shape: each };
    const channels = kind === 'channelGate' ? heads * DIM : heads;
    const logits = project(words, channels, kind === 'rate' ? 31 : 30);
    // logits have a deviation of SHARPNESS / sqrt(DIM) = 1
    const data =
      kind === 'rate'
        ? logits.map((x) => 1 / (1 + Math.exp(-x)))
        : logits.map((x) => -Math.log1p(Math.exp(-(4 + x / 2))));
    return { data, shape: kind === 'channelGate' ? [...each, DIM] : each };
  };
  return {
    length,
    q,
    k,
    v,
    operand(kind) {
      let operand = made.get(kind);
      if (!operand) {
        operand = make(kind);
        made.set(kind, operand);
      }
      return operand;
    },
  };
}

/** The tensors of a call: q, k, v and `extra` operands by their names. `values` stands in for v, [T, H, its width]. */
export function tensorsOf(
  rt: Runtime,
  problem: Problem,
  extra: Readonly<Record<string, OperandKind>> = {},
  values?: { readonly data: Float32Array; readonly width: number },
): Record<string, Tensor> {
  const shape = [1, problem.length, HEADS.length];
  const tensors: Record<string, Tensor> = {
    q: rt.tensor(problem.q, [...shape, DIM]),
    k: rt.tensor(problem.k, [...shape, DIM]),
    v: values ? rt.tensor(values.data, [...shape, values.width]) : rt.tensor(problem.v, [...shape, DIM]),
  };
  for (const [name, kind] of Object.entries(extra)) {
    const { data, shape } = problem.operand(kind);
    tensors[name] = rt.tensor(data, shape);
  }
  return tensors;
}
