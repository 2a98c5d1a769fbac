/**
 * Host side of the fast-weight engine: a small network that learns from the tokens while it reads them.
 *
 * @module
 */
import { OptionError, ShapeError } from '../errors.ts';
import { FastLayer, FastWeightParams, FastWeights } from '../generated/params.ts';
import { encode, encodeInto, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { type SequenceSpan, sequencesOf, sequenceTable } from './sequences.ts';
import { expectContiguous, expectRows, expectTypes, integers, matchShapes } from './shapes.ts';
import type { StepTarget } from './step.ts';

/** Most elements of a head. */
const MOST_DIM = 1024;

/** What stands between two layers; gelu by its tanh form. */
export type FastActivation = 'relu' | 'silu' | 'gelu';
const ACTIVATIONS: readonly FastActivation[] = ['relu', 'silu', 'gelu'];

/** What is added to the network's (normalised) output: nothing, the output before its norm, or the query. */
export type FastResidual = 'none' | 'output' | 'query';
const RESIDUALS: readonly FastResidual[] = ['none', 'output', 'query'];

/** What the network's (normalised) output for a key is compared with: v, or v - k, so that k + LN(f(k)) is compared with v. */
export type FastTarget = 'v' | 'v-k';
const TARGETS: readonly FastTarget[] = ['v', 'v-k'];

/** One of several names, or the default where it was left out. @throws OptionError if it is none of them. */
export function oneOf<T extends string>(
  op: string,
  name: string,
  value: T | undefined,
  fallback: T,
  known: readonly T[],
): T {
  if (value === undefined) return fallback;
  if (!known.includes(value)) {
    throw new OptionError(`${op}: ${name} is ${JSON.stringify(value)}, expected ${known.join(' or ')}`);
  }
  return value;
}

/** The activation of a call. @throws OptionError if there is none of that name. */
export function activationOf(op: string, value: FastActivation | undefined): FastActivation {
  return oneOf(op, 'activation', value, 'gelu', ACTIVATIONS);
}

/** The residual of a call. @throws OptionError if there is none of that name. */
export function residualOf(op: string, value: FastResidual | undefined, fallback: FastResidual): FastResidual {
  return oneOf(op, 'residual', value, fallback, RESIDUALS);
}

/** The target of a call. @throws OptionError if there is none of that name. */
export function targetOf(op: string, value: FastTarget | undefined, fallback: FastTarget): FastTarget {
  return oneOf(op, 'target', value, fallback, TARGETS);
}

/** Where the weights or biases of a layer lie: f32, heads `stride` elements apart. */
interface Place {
  readonly address: number;
  readonly stride: number;
}

/** Weights and bias of each layer. */
export type Network = readonly { readonly w?: Place | undefined; readonly b?: Place | undefined }[];

/** Lengths of one layer. */
export interface FastShape {
  readonly din: number;
  readonly dout: number;
  readonly bias: boolean;
}

/** Where a tensor [N, H, ...] lies. */
function placeOf(tensor: Tensor): Place {
  return { address: tensor.address, stride: tensor.shape.slice(2).reduce((n, size) => n * size, 1) };
}

/** A network of tensors of its own: weights [N, H, din, dout], biases [N, H, 1, dout]. */
export function separate(layers: readonly { w: Tensor | undefined; b?: Tensor | undefined }[]): Network {
  return layers.map(({ w, b }) => ({ w: w && placeOf(w), b: b && placeOf(b) }));
}

/** Elements of a row of `n`, padded to vectors of four. */
function wholeVectors(n: number): number {
  return Math.ceil(n / 4) * 4;
}

/** Elements of the weights of one head. */
export function parameters(shapes: readonly FastShape[]): number {
  return shapes.reduce((n, { din, dout, bias }) => n + (din + (bias ? 1 : 0)) * dout, 0);
}

/** A network in one tensor f32 [N, H, P]: the weights [din, dout] of the first layer, its bias [dout], those of the next. */
export function packed(tensor: Tensor, shapes: readonly FastShape[]): Network {
  const stride = parameters(shapes);
  let at = tensor.address;
  return shapes.map(({ din, dout, bias }) => {
    const w = { address: at, stride };
    const b = bias ? { address: at + 4 * din * dout, stride } : undefined;
    at += 4 * (din + (bias ? 1 : 0)) * dout;
    return { w, b };
  });
}

/** When the network learns, and how fast. */
export type FastRule =
  /** TTT. `tokenIdx` f32 [miniBatch] makes the rates those of keys, times a factor of the query's place in the mini-batch. */
  | { readonly kind: 'rates'; readonly eta: Tensor; readonly tokenIdx?: Tensor | undefined }
  /** Titans. */
  | { readonly kind: 'momentum'; readonly eta: Tensor; readonly theta: Tensor; readonly alpha: Tensor }
  /** Nothing is learnt: k and v may be q, and no state is written. */
  | { readonly kind: 'read' };

/** A state before the call, zeros if absent, and after it; the two may be the same. */
export interface BeforeAndAfter {
  readonly initial?: Network | undefined;
  readonly final: Network;
}

/** One call of the engine; operands have been checked. */
export interface FastWeightCall {
  /** [B, T, H, D] */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly o: Tensor;
  readonly rule: FastRule;
  readonly shapes: readonly FastShape[];
  readonly activation: FastActivation;
  readonly miniBatch: number;
  /** f32 [H, D] contiguous. */
  readonly lnWeight?: Tensor | undefined;
  readonly lnBias?: Tensor | undefined;
  readonly eps: number;
  readonly scale: number;
  readonly target: FastTarget;
  readonly residual: FastResidual;
  /** Whether the mini-batch ends with the sequence. */
  readonly flush: boolean;
  /** The sequences; `offset` counts the tokens of the mini-batch before the call. */
  readonly sequences: readonly SequenceSpan[];
  /** Weights before and after; zeros where there are none before. */
  readonly state: BeforeAndAfter;
  /** Gradients of the mini-batch so far; the momentum. Absent where nothing is learnt, as all below. */
  readonly second?: BeforeAndAfter;
  /** With momentum: weights at the mini-batch's start. */
  readonly anchor?: BeforeAndAfter;
  /** i32 [N] */
  readonly position?: Tensor;
}

/** Words of a layer's record in the kernel's scratch, at most. */
const RECORD_WORDS = 32;
const RULES = { rates: 0, momentum: 2, read: 3 } as const;

/** The tables of layers and of their weights. */
function tablesOf({ shapes, state, second, anchor }: FastWeightCall): { layers: Int32Array; weights: Int32Array } {
  const layers = new Int32Array(FastLayer.length * shapes.length);
  const places = [state, second, anchor].flatMap((place) => [place?.initial, place?.final]);
  const weights = new Int32Array(FastWeights.length * places.length * shapes.length);
  for (const [i, { din, dout, bias }] of shapes.entries()) {
    encodeInto(FastLayer, { din, dout, bias: bias ? 1 : 0 }, layers, i * FastLayer.length);
    for (const [n, network] of places.entries()) {
      const { w, b } = network?.[i] ?? {};
      const values = { w: w?.address ?? 0, wStride: w?.stride ?? 0, b: b?.address ?? 0, bStride: b?.stride ?? 0 };
      encodeInto(FastWeights, values, weights, (i * places.length + n) * FastWeights.length);
    }
  }
  return { layers, weights };
}

/** Multiplications and additions of a call: keys forth and back, queries, their products with the keys, the update. */
function flopsOf({ q, shapes, miniBatch, rule, sequences }: FastWeightCall): number {
  const momentum = rule.kind === 'momentum';
  const tokens = sequences.reduce((n, { qLength }) => n + qLength, 0);
  const perToken = shapes.reduce((n, { din, dout }, i) => {
    if (rule.kind === 'read') return n + din * dout;
    const passes = 3 + (i > 0 ? 1 : 0) + (momentum ? 2 : 0);
    return n + din * dout * passes + (Math.min(miniBatch, 64) / 2) * (din + dout);
  }, 0);
  return 2 * tokens * q.shape[2]! * perToken;
}

/** Elements of the weights of an item that stay in the second-level cache. */
const CACHED_WEIGHTS = 2 ** 16;

/** Heads of a work item; it changes no result, and so may depend on the number of threads. */
function headsOf(b: Builder, states: number, heads: number, size: number): number {
  const cached = Math.floor(CACHED_WEIGHTS / Math.max(1, size));
  return Math.max(1, Math.min(heads, cached, Math.floor(states / b.runtime.threads)));
}

/** Adds a call. */
export function fastWeight(b: Builder, call: FastWeightCall): void {
  const { q, k, v, o, rule, shapes, miniBatch, sequences } = call;
  const [, , heads, d] = q.shape as [number, number, number, number];
  const tokenIdx = rule.kind === 'rates' ? rule.tokenIdx : undefined;
  const { theta, alpha } = rule.kind === 'momentum' ? rule : { theta: undefined, alpha: undefined };
  const blockH = headsOf(b, sequences.length * heads, heads, parameters(shapes));
  const table = sequenceTable(sequences, () => Math.ceil(heads / blockH), 1);
  const { layers, weights } = tablesOf(call);
  const params = encode(FastWeightParams, {
    qType: storageOf(q),
    kType: storageOf(k),
    vType: storageOf(v),
    sequences: b.table(table.words),
    sequenceCount: sequences.length,
    heads,
    blockH,
    d,
    layers: b.table(layers),
    weights: b.table(weights),
    records: b.table(new Int32Array(RECORD_WORDS * shapes.length)),
    layerCount: shapes.length,
    activation: 1 + ACTIVATIONS.indexOf(call.activation),
    miniBatch,
    rule: tokenIdx ? 1 : RULES[rule.kind],
    tokenIdx: tokenIdx?.address ?? 0,
    lnWeight: call.lnWeight?.address ?? 0,
    lnBias: call.lnBias?.address ?? 0,
    eps: call.eps,
    scale: call.scale,
    residualTarget: call.target === 'v-k' ? 1 : 0,
    residual: RESIDUALS.indexOf(call.residual),
    flush: call.flush ? 1 : 0,
    positionOut: call.position?.address ?? 0,
    widest: shapes.reduce((most, { din, dout, bias }) => Math.max(most, din + (bias ? 1 : 0), dout), d),
    roomy: shapes.reduce((n, { din, dout, bias }) => n + wholeVectors(din + (bias ? 1 : 0)) * wholeVectors(dout), 0),
  });
  const eta = rule.kind === 'read' ? undefined : rule.eta;
  encodePlaces(FastWeightParams, params, { q, k, v, o, eta, theta, alpha });
  b.dispatch({
    kernel: 'fastWeight',
    params,
    items: table.items,
    scratchBytes: b.runtime.scratchBytes('fastWeightScratchBytes', params),
    flops: flopsOf(call),
  });
  b.note(
    () => `fast-weight engine: ${table.items} items, ${shapes.length} layers, mini-batches of ${miniBatch} tokens`,
  );
}

/** Operands that all methods have. */
export interface FastWeightInputs {
  /** [B, T, H, D]; any storage type. */
  readonly q: Tensor;
  /** [B, T, H, D] */
  readonly k: Tensor;
  /** [B, T, H, D] */
  readonly v: Tensor;
  /** f32 [H, D]: weight of the LayerNorm behind the network; goes with `lnBias`. Default: no norm. */
  readonly lnWeight?: Tensor;
  /** f32 [H, D] */
  readonly lnBias?: Tensor;
  /** i32 [N]: the `position` of the tokens before, with the states that came with it. Default zeros. */
  readonly initialPosition?: Tensor;
  /** i32 [N + 1]: boundaries of sequences packed along T; B is then 1. */
  readonly cuSeqlens?: Tensor;
}

/** What a method goes on from. */
export interface OpenFastWeight {
  readonly sizes: Readonly<Record<'B' | 'T' | 'H' | 'D' | 'N', number>>;
  /** The rates, [B, T, H]. */
  readonly gates: Readonly<Record<string, Tensor>>;
  readonly sequences: readonly SequenceSpan[];
  readonly position: Tensor;
  readonly o: Tensor;
}

const STORAGE = ['f32', 'f16', 'bf16'] as const;

/**
 * Checks the operands that all methods have, and the rates `gates` [B, T, H] or [B, T, H, 1]; `carried` names the states that go with
 * a position other than zero.
 *
 * @throws ShapeError, DTypeError
 */
export function openFastWeight(
  b: Builder,
  op: string,
  inputs: FastWeightInputs,
  gates: Readonly<Record<string, Tensor | undefined>>,
  {
    miniBatch,
    carried,
  }: { readonly miniBatch: number; readonly carried: Readonly<Record<string, Tensor | undefined>> },
  into: StepTarget | undefined,
): OpenFastWeight {
  const { q, k, v, lnWeight, lnBias, initialPosition, cuSeqlens } = inputs;
  const rates = Object.entries(gates);
  const axes = rates.map(([name, x]): [string, string] => [name, x?.shape?.length === 4 ? 'B T H 1' : 'B T H']);
  const sizes = matchShapes(op, { q, k, v, ...gates, lnWeight, lnBias } as Record<string, Tensor | undefined>, {
    q: 'B T H D',
    k: 'B T H D',
    v: 'B T H D',
    ...Object.fromEntries(axes),
    lnWeight: '?H D',
    lnBias: '?H D',
  }) as OpenFastWeight['sizes'];
  const { B, T, H, D } = sizes;
  expectHeadDim(op, 'q', D);
  if (!lnWeight !== !lnBias) {
    const [given, missing] = lnWeight ? ['lnWeight', 'lnBias'] : ['lnBias', 'lnWeight'];
    throw new ShapeError(`${op}: ${given} was given without ${missing}; pass both, or none for no norm`);
  }
  expectTypes(op, { q, k, v }, STORAGE);
  expectTypes(op, { ...gates, lnWeight, lnBias }, ['f32']);
  expectRows(op, { q, k, v });
  expectContiguous(op, { lnWeight, lnBias });
  const spans = sequencesOf(op, { B, Tq: T, Tk: T }, { cuSeqlens });
  const N = spans.length;
  const positions = positionsOf(op, initialPosition, N, miniBatch, carried);
  return {
    sizes: { B, T, H, D, N },
    gates: Object.fromEntries(rates.map(([name, x]) => [name, x!])),
    sequences: spans.map((span, n) => ({ ...span, offset: positions?.[n] ?? 0 })),
    position: into ? initialPosition! : b.output([N], 'i32'),
    o: into?.o ?? b.output([B, T, H, D]),
  };
}

/** @throws ShapeError if heads have no elements, or too many. */
export function expectHeadDim(op: string, name: string, d: number): void {
  if (d < 1 || d > MOST_DIM) throw new ShapeError(`${op}: ${name} has ${d} elements a head, expected 1 to ${MOST_DIM}`);
}

/**
 * Tokens of the unfinished mini-batches before the call; `carried` names the states that go with a position other than zero.
 *
 * @throws ShapeError, DTypeError
 */
export function positionsOf(
  op: string,
  initialPosition: Tensor | undefined,
  N: number,
  miniBatch: number,
  carried: Readonly<Record<string, Tensor | undefined>>,
): Int32Array | undefined {
  if (!initialPosition) return undefined;
  matchShapes(op, { initialPosition }, { initialPosition: `${N}` });
  expectContiguous(op, { initialPosition });
  const positions = integers(op, 'initialPosition', initialPosition);
  const wrong = positions.findIndex((at) => at < 0 || at >= miniBatch);
  if (wrong >= 0) {
    throw new ShapeError(
      `${op}: initialPosition[${wrong}] is ${positions[wrong]}, expected 0 to ${miniBatch - 1}: a mini-batch has ${miniBatch} tokens`,
    );
  }
  const missing = Object.keys(carried).filter((name) => !carried[name]);
  if (missing.length > 0 && positions.some((at) => at > 0)) {
    throw new ShapeError(
      `${op}: initialPosition is [${positions}] without ${missing.join(' and ')}; pass all outputs of the tokens before`,
    );
  }
  return positions;
}
