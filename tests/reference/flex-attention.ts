import { exp, float64, type NdArray, type Round, zeros } from './ndarray.ts';

/** One node of a subgraph, with what it needs of ONNX. */
export interface Node {
  op: string;
  inputs: string[];
  outputs: string[];
  attributes?: Record<string, unknown>;
}

/** A subgraph in the form of the op's attributes. */
export interface Graph {
  nodes: Node[];
  initializers: { name: string; dtype: string; dims: number[]; values: (number | string | boolean)[] }[];
  inputs: { name: string }[];
  outputs: { name: string }[];
}

function broadcast(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) =>
    shapes.reduce((n, shape) => {
      const own = shape[axis - rank + shape.length] ?? 1;
      return own === 1 ? n : own;
    }, 1),
  );
}

/** The index into an array of `shape` of element n of an array of the larger shape `to`. */
function place(shape: readonly number[], to: readonly number[], n: number): number {
  let at = 0;
  let step = 1;
  let rest = n;
  for (let axis = 1; axis <= to.length; axis++) {
    const own = shape[shape.length - axis] ?? 1;
    const index = rest % to[to.length - axis]!;
    if (own > 1) at += index * step;
    rest = Math.floor(rest / to[to.length - axis]!);
    step *= own;
  }
  return at;
}

function elementwise(compute: (...x: number[]) => number, round: Round, ...operands: NdArray[]): NdArray {
  const out = zeros(broadcast(operands.map(({ shape }) => shape)));
  for (let n = 0; n < out.data.length; n++) {
    out.data[n] = round(compute(...operands.map(({ shape, data }) => data[place(shape, out.shape, n)]!)));
  }
  return out;
}

const functions: Record<string, (...x: number[]) => number> = {
  Add: (x, y) => x! + y!,
  Sub: (x, y) => x! - y!,
  Mul: (x, y) => x! * y!,
  Div: (x, y) => x! / y!,
  Max: (x, y) => Math.max(x!, y!),
  Min: (x, y) => Math.min(x!, y!),
  Greater: (x, y) => Number(x! > y!),
  GreaterOrEqual: (x, y) => Number(x! >= y!),
  Less: (x, y) => Number(x! < y!),
  LessOrEqual: (x, y) => Number(x! <= y!),
  Equal: (x, y) => Number(x! === y!),
  And: (x, y) => Number(x! !== 0 && y! !== 0),
  Or: (x, y) => Number(x! !== 0 || y! !== 0),
  Xor: (x, y) => Number((x! !== 0) !== (y! !== 0)),
  Not: (x) => Number(x! === 0),
  Where: (c, x, y) => (c! !== 0 ? x! : y!),
  Neg: (x) => -x!,
  Abs: (x) => Math.abs(x!),
  Exp: (x) => Math.exp(x!),
  Sqrt: (x) => Math.sqrt(x!),
  Reciprocal: (x) => 1 / x!,
  Tanh: (x) => Math.tanh(x!),
  Sigmoid: (x) => 1 / (1 + Math.exp(-x!)),
  Relu: (x) => Math.max(x!, 0),
  Sign: (x) => Math.sign(x!),
  Floor: (x) => Math.floor(x!),
  Identity: (x) => x!,
};

/** The output of a subgraph for scores, every value in full: the nodes in order, as NumPy would. */
export function run(graph: Graph, scores: NdArray, round: Round = float64): NdArray {
  const values = new Map<string, NdArray>([[graph.inputs[0]!.name, scores]]);
  const whole = new Set<string>();
  for (const { name, dims, values: data, dtype } of graph.initializers) {
    values.set(name, { shape: dims, data: Array.from(data, Number) });
    if (dtype.startsWith('int')) whole.add(name);
  }
  for (const { op, inputs, outputs, attributes = {} } of graph.nodes) {
    const [x, y, z] = inputs.map((name) => values.get(name)!) as [NdArray, NdArray, NdArray];
    const integers = inputs.every((name) => whole.has(name));
    let out: NdArray;
    if (op === 'Shape') out = { shape: [x.shape.length], data: x.shape };
    else if (op === 'Gather' && x.shape.length === 1) out = elementwise((i) => x.data[i!]!, float64, y);
    else if (op === 'Range') {
      const length = Math.max(0, Math.ceil((y.data[0]! - x.data[0]!) / z.data[0]!));
      out = { shape: [length], data: Array.from({ length }, (_, i) => x.data[0]! + i * z.data[0]!) };
    } else if (op === 'Reshape') {
      const shape = Array.from(y.data);
      const known = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
      out = { shape: shape.map((n) => (n === -1 ? x.data.length / known : n)), data: x.data };
    } else if (op === 'Unsqueeze') {
      const shape = [...x.shape];
      for (const axis of Array.from(y.data).sort()) shape.splice(axis, 0, 1);
      out = { shape, data: x.data };
    } else if (op === 'Cast') {
      out = attributes.to === 7 ? elementwise((v) => Math.trunc(v!), float64, x) : x;
    } else if (op === 'Mod') {
      out = elementwise((v, w) => v! - w! * Math.floor(v! / w!), float64, x, y);
    } else if (op === 'Div' && integers) {
      out = elementwise((v, w) => Math.trunc(v! / w!), float64, x, y);
    } else {
      const compute = functions[op];
      if (!compute) throw new Error(`the reference has no ${op}`);
      out = elementwise(compute, round, ...[x, y, z].slice(0, inputs.length));
    }
    const toWhole = op === 'Shape' || (op === 'Cast' && attributes.to === 7);
    if (toWhole || (op !== 'Cast' && integers)) whole.add(outputs[0]!);
    values.set(outputs[0]!, out);
  }
  return values.get(graph.outputs[0]!.name)!;
}

/** prob_mod(softmax(score_mod(scale Q K))) V for Q [B, Hq, L, E], all of it in memory; a row of -Infinity has weights of zero. */
export function flexAttention(
  { Q, K, V }: { Q: NdArray; K: NdArray; V: NdArray },
  attributes: { scale?: number; score_mod?: Graph; prob_mod?: Graph },
  round: Round = float64,
): { Y: NdArray } {
  const [B, Hq, L, E] = Q.shape as [number, number, number, number];
  const [, Hkv, S, Ev] = V.shape as [number, number, number, number];
  const scale = round(attributes.scale ?? E ** -0.5);
  const raw = zeros([B, Hq, L, S]);
  const keyHead = (row: number) => {
    const [b, h] = [Math.floor(row / (Hq * L)), Math.floor(row / L) % Hq];
    return b * Hkv + Math.floor(h / (Hq / Hkv));
  };
  for (let row = 0; row < B * Hq * L; row++) {
    for (let j = 0; j < S; j++) {
      let dot = 0;
      for (let e = 0; e < E; e++) {
        dot = round(dot + round(Q.data[row * E + e]! * K.data[(keyHead(row) * S + j) * E + e]!));
      }
      raw.data[row * S + j] = round(dot * scale);
    }
  }
  const scores = attributes.score_mod ? run(attributes.score_mod, raw, round) : raw;
  const weights = zeros(raw.shape);
  const factor = round.base2 ? round(Math.LOG2E) : 1;
  for (let row = 0; row < B * Hq * L; row++) {
    const logits = Array.from({ length: S }, (_, j) => round(scores.data[row * S + j]! * factor));
    const most = Math.max(...logits);
    if (most === Number.NEGATIVE_INFINITY) continue;
    const each = logits.map((x) => exp(round(x - most), round));
    const sum = each.reduce((total, x) => round(total + x), 0);
    for (const [j, x] of each.entries()) weights.data[row * S + j] = round(x / sum);
  }
  const probs = attributes.prob_mod ? run(attributes.prob_mod, weights, round) : weights;
  const Y = zeros([B, Hq, L, Ev]);
  for (let row = 0; row < B * Hq * L; row++) {
    for (let j = 0; j < S; j++) {
      const weight = probs.data[row * S + j]!;
      for (let e = 0; e < Ev; e++) {
        const product = round(weight * V.data[(keyHead(row) * S + j) * Ev + e]!);
        Y.data[row * Ev + e] = round(Y.data[row * Ev + e]! + product);
      }
    }
  }
  return { Y };
}
