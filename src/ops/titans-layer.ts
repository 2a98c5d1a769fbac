/**
 * Layers of Titans: a memory that learns, beside, before or behind attention with a window.
 *
 * @module
 */

import { multiply } from '../engines/binary.ts';
import { copyRows } from '../engines/copy.ts';
import { mergeStates } from '../engines/decode.ts';
import {
  activationOf,
  type FastShape,
  type FastTarget,
  fastWeight,
  oneOf,
  packed,
  parameters,
  residualOf,
  targetOf,
} from '../engines/fast-weight.ts';
import { sigmoid } from '../engines/features.ts';
import { gemm, gemmPack, packedSize } from '../engines/gemm.ts';
import { type SequenceSpan, sequencesOf } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes, whole } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attend } from './attention.ts';
import { memoryShapes, type TitansMemoryOptions } from './titans.ts';

/** How memory and attention are combined. */
export type TitansCombination = 'mac' | 'mag' | 'mal';
const COMBINATIONS: readonly TitansCombination[] = ['mac', 'mag', 'mal'];

/** Operands of `titansLayer`, all f32 and contiguous. */
export interface TitansLayerInputs {
  /** [B, T, E] */
  readonly x: Tensor;
  /** `[E, H D]`: queries of the attention. */
  readonly wq: Tensor;
  /** [E, H D] */
  readonly wk: Tensor;
  /** [E, H D] */
  readonly wv: Tensor;
  /** `[H D, E]`: what attention gives, as tokens again. */
  readonly wo: Tensor;
  /** `[E, H D]`: queries of the memory. */
  readonly mq: Tensor;
  /** [E, H D] */
  readonly mk: Tensor;
  /** [E, H D] */
  readonly mv: Tensor;
  /** `[H D, E]`: what the memory gives, as tokens again; not for 'mag'. */
  readonly mo?: Tensor;
  /** `[E, 3 H]`: momentum, learning rate and forgetting of each head, before their sigmoids. */
  readonly gates: Tensor;
  /** [3 H]. Default zeros. */
  readonly gatesBias?: Tensor;
  /** `[P, H, D]`: keys of persistent tokens, which every query sees; goes with `persistentV`. Default none. */
  readonly persistentK?: Tensor;
  /** [P, H, D] */
  readonly persistentV?: Tensor;
  /** `[H, D]`: norm behind the memory; goes with `lnBias`. Default none. */
  readonly lnWeight?: Tensor;
  /** [H, D] */
  readonly lnBias?: Tensor;
  /** `[B, H, P]`: the memory before the first token, as in `titans`. */
  readonly initialState: Tensor;
  /** [B, H, P]. Default zeros. */
  readonly initialMomentum?: Tensor;
}

/** Options of `titansLayer`. */
export interface TitansLayerOptions extends Omit<TitansMemoryOptions, 'scale'> {
  /** 'mac': memory as context, 'mag': memory as gate, 'mal': memory as layer. */
  readonly combine: TitansCombination;
  /** Keys that a query sees, itself included; for 'mac', tokens of a segment. Default 256. */
  readonly window?: number;
}

/** Outputs of `titansLayer`. */
export interface TitansLayerResult {
  /** f32 [B, T, E] */
  readonly o: Tensor;
  /** f32 [B, H, P]: the memory after the last token. */
  readonly finalState: Tensor;
  /** f32 [B, H, P]: its momentum. */
  readonly finalMomentum: Tensor;
}

const OP = 'titansLayer';
const INPUTS = [
  'x',
  'wq',
  'wk',
  'wv',
  'wo',
  'mq',
  'mk',
  'mv',
  'mo',
  'gates',
  'gatesBias',
  'persistentK',
  'persistentV',
  'lnWeight',
  'lnBias',
  'initialState',
  'initialMomentum',
];
const OPTIONS = ['combine', 'window', 'chunkSize', 'eps', 'target', 'residual', 'depth', 'expansion', 'activation'];

type Sizes = Readonly<Record<'B' | 'T' | 'E' | 'H' | 'D', number>>;

/** A weight that several products read. */
interface Packed {
  readonly k: number;
  readonly n: number;
  readonly panels: Tensor;
}

/** What a layer is made of, checked. */
interface Layer {
  readonly b: Builder;
  readonly inputs: TitansLayerInputs;
  readonly sizes: Sizes;
  readonly window: number;
  readonly weights: Readonly<Record<string, Packed>>;
  readonly memory: {
    readonly shapes: readonly FastShape[];
    readonly chunk: number;
    readonly fixed: Pick<Parameters<typeof fastWeight>[1], 'activation' | 'eps' | 'target' | 'residual'>;
    readonly state: Tensor;
    readonly momentum: Tensor;
    readonly anchor: Tensor;
    readonly position: Tensor;
  };
}

/** x [B, L, K] w + bias as [B, L, N]. */
function project({ b }: Layer, x: Tensor, { k, n, panels }: Packed, bias?: Tensor): Tensor {
  const o = b.temporary([...x.shape.slice(0, -1), n]);
  const m = o.size / Math.max(1, n);
  gemm(b, {
    a: x.address,
    aStride: k,
    bPack: panels.address,
    o: o.address,
    oStride: n,
    bias: bias?.address ?? 0,
    m,
    k,
    n,
    activation: 'none',
  });
  return o;
}

/** [B, L, H D] as [B, L, H, D]. */
function headed({ sizes }: Layer, x: Tensor): Tensor {
  return x.reshape([x.shape[0]!, x.shape[1]!, sizes.H, sizes.D]);
}

/** Queries on some keys: all of them, or those of a causal window. */
function look(
  { b, sizes }: Layer,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  window: readonly [number, number],
): { o: Tensor; lse: Tensor } {
  const [B, L, H] = q.shape as [number, number, number];
  const o = b.temporary(q.shape);
  const lse = b.temporary([B, L, H]);
  const sequences = sequencesOf(OP, { B, Tq: L, Tk: k.shape[1]! }, {});
  attend(b, { q, k, v, o, lse, sequences, scale: sizes.D ** -0.5, softcap: 0, window });
  return { o, lse };
}

/** What queries [B, L, H, D] make of several sets of keys together. */
function joined({ b }: Layer, parts: readonly { o: Tensor; lse: Tensor }[]): Tensor {
  let [all] = parts as [{ o: Tensor; lse: Tensor }];
  for (const part of parts.slice(1)) {
    const next = { o: b.temporary(all.o.shape), lse: b.temporary(all.lse.shape) };
    mergeStates(b, all.o, all.lse, part.o, part.lse, next.o, next.lse);
    all = next;
  }
  return all.o;
}

/** Attention of tokens x [B, L, E] on persistent tokens and, causally within the window, on `context` and themselves: [B, L, H D]. */
function attention(layer: Layer, x: Tensor, context?: Tensor): Tensor {
  const { inputs, sizes, weights, window } = layer;
  const { persistentK, persistentV } = inputs;
  const [B, L] = x.shape as [number, number];
  const rows = (from: Tensor, name: string) => headed(layer, project(layer, from, weights[name]!));
  const q = rows(x, 'wq');
  const parts = [look(layer, q, rows(x, 'wk'), rows(x, 'wv'), [window - 1, 0])];
  if (context) parts.push(look(layer, q, rows(context, 'wk'), rows(context, 'wv'), [window - 1, 0]));
  if (persistentK && persistentV) {
    const forAll = (tensor: Tensor) => tensor.reshape([1, ...tensor.shape]).broadcast([B, ...tensor.shape]);
    parts.push(look(layer, q, forAll(persistentK), forAll(persistentV), [-1, -1]));
  }
  return joined(layer, parts).reshape([B, L, sizes.H * sizes.D]);
}

/** Sequences of L tokens that begin `before` tokens behind the first. */
function spansOf({ sizes, memory }: Layer, L: number, before: number): readonly SequenceSpan[] {
  const spans = sequencesOf(OP, { B: sizes.B, Tq: L, Tk: L }, {});
  return spans.map((span) => ({ ...span, offset: before % memory.chunk }));
}

/** The memory learns from tokens x [B, L, E], which begin at token `before`, and gives what it makes of them: [B, L, H D]. */
function remember(layer: Layer, x: Tensor, before: number): Tensor {
  const { b, inputs, sizes, weights, memory } = layer;
  const { state, momentum, anchor, position, shapes } = memory;
  const { H } = sizes;
  const rows = (name: string) => headed(layer, project(layer, x, weights[name]!));
  const gates = sigmoid(b, project(layer, x, weights.gates!, inputs.gatesBias));
  const gate = (n: number) => gates.slice(2, n * H, (n + 1) * H);
  const o = b.temporary([x.shape[0]!, x.shape[1]!, H, sizes.D]);
  const network = (tensor: Tensor) => packed(tensor, shapes);
  // from the second segment on, states are where the one before has left them
  const from = (first: Tensor | undefined, later: Tensor) => (before > 0 ? later : first);
  const place = (first: Tensor | undefined, later: Tensor) => {
    const initial = from(first, later);
    return { initial: initial && network(initial), final: network(later) };
  };
  fastWeight(b, {
    ...memory.fixed,
    q: rows('mq'),
    k: rows('mk'),
    v: rows('mv'),
    o,
    rule: { kind: 'momentum', eta: gate(0), theta: gate(1), alpha: gate(2) },
    shapes,
    miniBatch: memory.chunk,
    lnWeight: inputs.lnWeight,
    lnBias: inputs.lnBias,
    scale: 1,
    flush: false,
    sequences: spansOf(layer, x.shape[1]!, before),
    state: place(inputs.initialState, state),
    second: place(inputs.initialMomentum, momentum),
    anchor: place(undefined, anchor),
    position,
  });
  return o.reshape([x.shape[0]!, x.shape[1]!, H * sizes.D]);
}

/** What the memory as it is makes of tokens x [B, L, E]: [B, L, H D]. */
function recall(layer: Layer, x: Tensor, before: number): Tensor {
  const { b, inputs, sizes, weights, memory } = layer;
  const q = headed(layer, project(layer, x, weights.mq!));
  const o = b.temporary(q.shape);
  const network = packed(before > 0 ? memory.state : inputs.initialState, memory.shapes);
  fastWeight(b, {
    ...memory.fixed,
    q,
    k: q,
    v: q,
    o,
    rule: { kind: 'read' },
    shapes: memory.shapes,
    miniBatch: memory.chunk,
    lnWeight: inputs.lnWeight,
    lnBias: inputs.lnBias,
    scale: 1,
    flush: false,
    sequences: spansOf(layer, x.shape[1]!, 0),
    state: { initial: network, final: network },
  });
  return o.reshape([x.shape[0]!, x.shape[1]!, sizes.H * sizes.D]);
}

/** Rows [from, to) of x [B, T, E] without gaps. */
function segmentOf({ b, sizes }: Layer, x: Tensor, from: number, to: number): Tensor {
  const part = x.slice(1, from, to);
  if (part.contiguous) return part;
  const o = b.temporary([sizes.B, to - from, sizes.E]);
  copyTokens(b, part, o);
  return o;
}

/** o = x, both [B, L, E] of any strides. */
function copyTokens(b: Builder, x: Tensor, o: Tensor): void {
  const rows = (tensor: Tensor) => {
    const [batch, time, row] = tensor.strides as [number, number, number];
    const [B, L, E] = tensor.shape as [number, number, number];
    return tensor.restride([B, L, 1, E], [batch, time, 0, row]);
  };
  copyRows(b, rows(x), rows(o));
}

/** Memory as context, a segment after the other. */
function asContext(layer: Layer, x: Tensor, o: Tensor): void {
  const { b, sizes, weights, window } = layer;
  for (let from = 0; from < sizes.T; from += window) {
    const to = Math.min(sizes.T, from + window);
    const part = segmentOf(layer, x, from, to);
    const history = project(layer, recall(layer, part, from), weights.mo!);
    const y = project(layer, attention(layer, part, history), weights.wo!);
    const gate = sigmoid(b, project(layer, remember(layer, y, from), weights.mo!));
    multiply(b, y, gate, y);
    copyTokens(b, y, o.slice(1, from, to));
  }
  // without a token the memory is as it was
  if (sizes.T === 0) remember(layer, x, 0);
}

/** Lays out the call. */
export function planTitansLayer(b: Builder, inputs: TitansLayerInputs, options: TitansLayerOptions): TitansLayerResult {
  expectNames(OP, 'input', inputs, INPUTS);
  expectNames(OP, 'option', options, OPTIONS);
  if (options.combine === undefined) throw new OptionError(`${OP}: combine is missing, expected mac, mag or mal`);
  const combine = oneOf(OP, 'combine', options.combine, 'mag', COMBINATIONS);
  const layer = openLayer(b, inputs, options, combine);
  const { sizes, weights, memory } = layer;
  const { x } = inputs;
  const o = b.output([sizes.B, sizes.T, sizes.E]);
  if (combine === 'mac') {
    asContext(layer, x, o);
  } else {
    const learnt = remember(layer, x, 0);
    let y: Tensor;
    if (combine === 'mag') {
      y = attention(layer, x);
      multiply(b, y, sigmoid(b, learnt), y);
    } else {
      y = attention(layer, project(layer, learnt, weights.mo!));
    }
    copyTokens(b, project(layer, y, weights.wo!), o);
  }
  return { o, finalState: memory.state, finalMomentum: memory.momentum };
}

function openLayer(
  b: Builder,
  inputs: TitansLayerInputs,
  options: TitansLayerOptions,
  combine: TitansCombination,
): Layer {
  const { lnWeight, lnBias, initialState, initialMomentum, persistentK, persistentV } = inputs;
  const depth = whole(OP, 'depth', options.depth, 2, 1, 8);
  const expansion = whole(OP, 'expansion', options.expansion, 4, 1, 16);
  const needed = combine === 'mag' ? '?' : '';
  const shapes = matchShapes(OP, { ...inputs } as Record<string, Tensor | undefined>, {
    x: 'B T E',
    wq: 'E HD',
    wk: 'E HD',
    wv: 'E HD',
    wo: 'HD E',
    mq: 'E HD',
    mk: 'E HD',
    mv: 'E HD',
    mo: `${needed}HD E`,
    initialState: 'B H P',
  }) as Record<'B' | 'T' | 'E' | 'HD' | 'H', number>;
  const { B, T, E, H, HD } = shapes;
  const D = HD / Math.max(1, H);
  if (!Number.isInteger(D) || D < 1) {
    throw new ShapeError(`${OP}: wq has ${HD} columns and initialState ${H} heads, expected a multiple of the heads`);
  }
  matchShapes(
    OP,
    { gates: inputs.gates, gatesBias: inputs.gatesBias, persistentK, persistentV, lnWeight, lnBias },
    {
      gates: `${E} ${3 * H}`,
      gatesBias: `?${3 * H}`,
      persistentK: `?P ${H} ${D}`,
      persistentV: `?P ${H} ${D}`,
      lnWeight: `?${H} ${D}`,
      lnBias: `?${H} ${D}`,
    },
  );
  for (const [a, z] of [
    ['persistentK', 'persistentV'],
    ['lnWeight', 'lnBias'],
  ] as const) {
    if (!inputs[a] !== !inputs[z]) {
      const [given, missing] = inputs[a] ? [a, z] : [z, a];
      throw new ShapeError(`${OP}: ${given} was given without ${missing}; pass both, or none`);
    }
  }
  expectTypes(OP, { ...inputs }, ['f32']);
  expectContiguous(OP, { ...inputs });
  const network = memoryShapes(D, depth, expansion);
  const state = [B, H, parameters(network)];
  const weights: Record<string, Packed> = {};
  for (const name of ['wq', 'wk', 'wv', 'wo', 'mq', 'mk', 'mv', 'mo', 'gates'] as const) {
    const matrix = inputs[name];
    if (!matrix) continue;
    const [k, n] = matrix.shape as [number, number];
    const panels = b.temporary([packedSize(k, n)]);
    gemmPack(b, matrix, false, panels.address);
    weights[name] = { k, n, panels };
  }
  return {
    b,
    inputs,
    sizes: { B, T, E, H, D },
    window: whole(OP, 'window', options.window, 256, 1),
    weights,
    memory: {
      shapes: network,
      chunk: whole(OP, 'chunkSize', options.chunkSize, 16, 1),
      fixed: {
        activation: activationOf(OP, options.activation),
        eps: finite(OP, 'eps', options.eps, 1e-6, 0),
        target: targetOf(OP, options.target, lnWeight ? 'v-k' : 'v') satisfies FastTarget,
        residual: residualOf(OP, options.residual, lnWeight ? 'query' : 'none'),
      },
      state: carried(b, OP, 'initialState', initialState, state, undefined),
      momentum: carried(b, OP, 'initialMomentum', initialMomentum, state, undefined),
      anchor: b.temporary(state),
      position: b.temporary([B], 'i32'),
    },
  };
}

/**
 * A layer of Titans. With A the softmax attention of tokens x on persistent tokens and a causal window of themselves, q, k, v = x wq, x wk,
 * x wv, and M the memory of `titans`, q, k, v = x mq, x mk, x mv, with momentum, rate and forgetting sigmoid(x gates + gatesBias):
 *   'mag'  o = (A(x) * sigmoid(M(x))) wo
 *   'mal'  o = A(M(x) mo) wo
 *   'mac'  segment by segment: h = what the memory as it is makes of the segment, times mo; y = A on persistent tokens, and h and the
 *          segment up to the token, times wo; M learns from y, and o = y * sigmoid(M(y) mo)
 * A token's output depends on no later one: where the paper reads a memory that has learnt a whole segment, each token reads what has been
 * learnt up to it. The paper leaves the gate's form open.
 *
 * Source: Titans (Behrouz 2025), section 4; persistent tokens as keys and values, as in titans-pytorch (Wang).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await titansLayer({ x, wq, wk, wv, wo, mq, mk, mv, gates, initialState }, { combine: 'mag', window: 128 })
 */
export function titansLayer(inputs: TitansLayerInputs, options: TitansLayerOptions): Promise<TitansLayerResult> {
  return run(OP, inputs, (b) => planTitansLayer(b, inputs, options));
}

/** As `titansLayer`, to the end before it returns. */
export function titansLayerSync(inputs: TitansLayerInputs, options: TitansLayerOptions): TitansLayerResult {
  return runSync(OP, inputs, (b) => planTitansLayer(b, inputs, options));
}
