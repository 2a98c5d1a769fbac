// What the tests of the gated-linear methods know about each: its reference, how to make operands, which states it carries.

import type { Tensor } from '../src/index.ts';
import * as wattn from '../src/index.ts';
import { type Expected, expected } from './accuracy.ts';
import {
  based,
  basedRecurrent,
  cosformer,
  cosformerRecurrent,
  dpfp,
  focused,
  hedgehog,
  performer,
  performerRecurrent,
  qtVit,
  rebased,
  rebasedRecurrent,
  sana,
  slab,
  t2r,
} from './reference/feature-attention.ts';
import { gla, hgrn2, simpleGla } from './reference/gla.ts';
import { lightnet } from './reference/lightnet.ts';
import { linearAttn } from './reference/linear-attn.ts';
import { logLinearAttn } from './reference/log-linear.ts';
import { mamba3 } from './reference/mamba3.ts';
import { metala } from './reference/metala.ts';
import { mlstm } from './reference/mlstm.ts';
import { mom } from './reference/mom.ts';
import type { NdArray, Round } from './reference/ndarray.ts';
import { lightningAttn, retention } from './reference/retention.ts';
import { rodimus } from './reference/rodimus.ts';
import { rwkv5, rwkv6 } from './reference/rwkv.ts';
import { abc, gsa } from './reference/slots.ts';
import { ssd } from './reference/ssd.ts';
import { type FloatSample, floats, normal } from './samples.ts';

/** Lengths of the axes; hv is the number of value heads, m that of slots, memories or features. */
export interface Lengths {
  b: number;
  t: number;
  h: number;
  hv: number;
  k: number;
  v: number;
  m: number;
}

/** How strong log gates are: constant zero, of one size, of one size by channel, rarely strong, or rarely -Infinity. */
export const gateKinds = ['none', 'slow', 'mild', 'strong', 'thirty', 'mixed', 'bursts', 'walls'] as const;

/** One of them. */
export type GateKind = (typeof gateKinds)[number];

/** Log gates, at most 0. */
export function gates(random: () => number, shape: readonly number[], kind: GateKind): FloatSample {
  const channels = shape.at(-1)!;
  const strongChannel = Array.from({ length: channels }, () => random() < 0.25);
  const next: Record<GateKind, (n: number) => number> = {
    none: () => 0,
    slow: () => -0.01 * random(),
    mild: () => -random(),
    strong: () => -30 * random(),
    thirty: () => -30,
    mixed: (n) => (strongChannel[n % channels] ? -30 : -0.01) * random(),
    bursts: () => (random() < 0.05 ? -30 - 1000 * random() : -0.1 * random()),
    walls: () => (random() < 0.1 ? Number.NEGATIVE_INFINITY : -random()),
  };
  return floats(shape, next[kind]);
}

/** A state that a method carries from call to call. */
export interface State {
  /** Names as an input, as an output and as an input of the step. */
  readonly initial: string;
  readonly final: string;
  readonly step: string;
  /** Its shape for n sequences; left out where the layout is the method's own. */
  readonly shape?: (n: number, lengths: Lengths) => number[];
  /** What it holds before the first token. Default 0. */
  readonly fill?: number;
  /** A state that could have been left by a call. Default: normal. */
  readonly sample?: (random: () => number, shape: number[]) => FloatSample;
}

// biome-ignore lint/suspicious/noExplicitAny: every method's inputs and options are its own
type AnyReference = (inputs: any, options: any, round: Round) => Record<string, NdArray>;
type AnyOp = (inputs: Record<string, Tensor>, options?: object) => Promise<Record<string, Tensor>>;
type AnySyncOp = (inputs: Record<string, Tensor>, options?: object) => Record<string, Tensor>;

/** A method with one setting of its options. */
export interface Method {
  /** What tests call it. */
  readonly label: string;
  /** The exported function. */
  readonly name: string;
  readonly reference: AnyReference;
  /** Other ways to compute the same, whose rounding is as good. */
  readonly forms?: readonly AnyReference[];
  readonly options: object;
  /** Options of a call that goes on from t tokens, besides. */
  readonly from?: (t: number) => object;
  /** Operands with a T axis behind the batch, of this size. */
  readonly tokens: (
    random: () => number,
    lengths: Lengths,
    kind: GateKind,
    size: number,
  ) => Record<string, FloatSample>;
  /** Operands without. */
  readonly constants?: (random: () => number, lengths: Lengths, kind: GateKind) => Record<string, FloatSample>;
  readonly states: readonly State[];
  /** Takes cuSeqlens. */
  readonly packed: boolean;
  /** Has a step. */
  readonly steps: boolean;
  /** Takes options.scale. */
  readonly scaled: boolean;
  /** What its reference does for a token and head, where that is not K times V. */
  readonly work?: (lengths: Lengths) => number;
  /** Has as many value heads as key heads. */
  readonly ungrouped?: true;
}

/** What the method must give. */
export function wantedOf({ reference, forms = [] }: Method, inputs: object, options: object): Expected<string> {
  return expected(
    (round) => reference(inputs, options, round),
    forms.map((form) => (round: Round) => form(inputs, options, round)),
  );
}

/** The exported function `name`. */
export function exported<F>(name: string): F {
  const f = (wattn as Record<string, unknown>)[name];
  if (typeof f !== 'function') throw new Error(`wattn exports no function ${name}`);
  return f as F;
}

/** The method's function, to await. */
export const opOf = ({ name }: Method) => exported<AnyOp>(name);
/** The method's function that returns at the end. */
export const syncOf = ({ name }: Method) => exported<AnySyncOp>(`${name}Sync`);
/** The method's step. */
export const stepOf = ({ name }: Method) => exported<AnySyncOp>(`${name}Step`);

/** Options of a call that goes on from t tokens. */
export const optionsFrom = ({ options, from }: Method, t: number): object => ({ ...options, ...from?.(t) });

/** A state [N,HV,K,V]. */
export const matrixState: State = {
  initial: 'initialState',
  final: 'finalState',
  step: 'state',
  shape: (n, { hv, k, v }) => [n, hv, k, v],
};

/** Positive numbers of the same sizes. */
export const positive = (sample: FloatSample) => floats(sample.shape, (n) => Math.abs(sample.data[n]!) + 0.01);

/** Queries, keys and values. */
export const qkv = (random: () => number, { b, t, h, hv, k, v }: Lengths, size: number) => ({
  q: normal(random, [b, t, h, k], size),
  k: normal(random, [b, t, h, k], size),
  v: normal(random, [b, t, hv, v], size),
});

/** Numbers that are exponentiated: the stronger the kind of gate, the larger. */
const logits = (random: () => number, shape: readonly number[], kind: GateKind) => {
  const std = { none: 0, slow: 0.1, mild: 1, strong: 20, thirty: 60, mixed: 5, bursts: 2, walls: 10 }[kind];
  return normal(random, shape, std);
};

/** The states of methods whose operands pass through maps of `features`, which are positive. */
const featureStates = (features: (lengths: Lengths) => number): State[] => [
  { ...matrixState, shape: (n, lengths) => [n, lengths.hv, features(lengths), lengths.v] },
  {
    initial: 'initialNormalizer',
    final: 'finalNormalizer',
    step: 'normalizer',
    shape: (n, lengths) => [n, lengths.hv, features(lengths)],
    sample: (random, shape) => positive(normal(random, shape)),
  },
];

/** Linear maps of each head's keys. */
const linearMaps = (random: () => number, { h, k, m }: Lengths) => normal(random, [h, m, k], k ** -0.5);

/** A running logcumsumexp as tokens leave it. */
const logState = (random: () => number, shape: number[]) => normal(random, shape, 2);

/** What most methods have. */
export const plain = { options: {}, packed: true, steps: true, scaled: true, states: [matrixState] };

/** All of them. */
export const methods: readonly Method[] = [
  {
    ...plain,
    label: 'linearAttn',
    name: 'linearAttn',
    reference: linearAttn,
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
  },
  {
    ...plain,
    label: 'linearAttn, normalised',
    name: 'linearAttn',
    reference: linearAttn,
    options: { normalize: true },
    tokens: (random, lengths, _kind, size) => {
      const { q, k, v } = qkv(random, lengths, size);
      return { q: positive(q), k: positive(k), v };
    },
    states: [
      matrixState,
      {
        initial: 'initialNormalizer',
        final: 'finalNormalizer',
        step: 'normalizer',
        shape: (n, { hv, k }) => [n, hv, k],
        sample: (random, shape) => positive(normal(random, shape)),
      },
    ],
  },
  {
    ...plain,
    label: 'linearAttn, not causal',
    name: 'linearAttn',
    reference: linearAttn,
    options: { causal: false },
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
    steps: false,
  },
  {
    ...plain,
    label: 'linearAttn, normalised and not causal',
    name: 'linearAttn',
    reference: linearAttn,
    options: { causal: false, normalize: true, eps: 1e-3 },
    tokens: (random, lengths, _kind, size) => {
      const { q, k, v } = qkv(random, lengths, size);
      return { q: positive(q), k: positive(k), v };
    },
    states: [],
    steps: false,
  },
  {
    ...plain,
    label: 'retention',
    name: 'retention',
    reference: retention,
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
  },
  {
    ...plain,
    label: 'lightningAttn',
    name: 'lightningAttn',
    reference: lightningAttn,
    options: { layerIdx: 2, numLayers: 8 },
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
  },
  {
    ...plain,
    label: 'lightningAttn, slopes given',
    name: 'lightningAttn',
    reference: lightningAttn,
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
    constants: (random, { hv }, kind) => {
      const g = gates(random, [hv], kind);
      return { slopes: floats([hv], (n) => -g.data[n]!) };
    },
  },
  {
    ...plain,
    label: 'simpleGla',
    name: 'simpleGla',
    reference: simpleGla,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, size),
      g: gates(random, [lengths.b, lengths.t, lengths.hv], kind),
    }),
  },
  {
    ...plain,
    label: 'gla',
    name: 'gla',
    reference: gla,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, size),
      gk: gates(random, [lengths.b, lengths.t, lengths.h, lengths.k], kind),
    }),
  },
  {
    ...plain,
    label: 'gla over values',
    name: 'gla',
    reference: gla,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, size),
      gv: gates(random, [lengths.b, lengths.t, lengths.hv, lengths.v], kind),
    }),
  },
  {
    ...plain,
    label: 'gla over keys and values',
    name: 'gla',
    reference: gla,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, size),
      gk: gates(random, [lengths.b, lengths.t, lengths.h, lengths.k], kind),
      gv: gates(random, [lengths.b, lengths.t, lengths.hv, lengths.v], kind),
    }),
  },
  {
    ...plain,
    label: 'hgrn2',
    name: 'hgrn2',
    reference: hgrn2,
    tokens: (random, lengths, kind, size) => {
      const { q, v } = qkv(random, lengths, size);
      const g = gates(random, [lengths.b, lengths.t, lengths.h, lengths.k], kind);
      return { q, f: floats(g.shape, (n) => Math.exp(g.data[n]!)), v };
    },
  },
  ...(['rwkv5', 'rwkv6'] as const).map(
    (name): Method => ({
      ...plain,
      label: name,
      name,
      reference: name === 'rwkv5' ? rwkv5 : rwkv6,
      tokens: (random, lengths, kind, size) => {
        const { q, k, v } = qkv(random, lengths, size);
        return { r: q, k, v, ...(name === 'rwkv6' && { w: gates(random, q.shape, kind) }) };
      },
      constants: (random, { h, k }, kind) => ({
        ...(name === 'rwkv5' && { w: gates(random, [h, k], kind) }),
        u: normal(random, [h, k]),
      }),
    }),
  ),
  {
    ...plain,
    label: 'gsa',
    name: 'gsa',
    reference: gsa,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, Math.min(size, 3)),
      s: normal(random, [lengths.b, lengths.t, lengths.h, lengths.m]),
      g: gates(random, [lengths.b, lengths.t, lengths.h, lengths.m], kind),
    }),
    states: [
      { initial: 'initialHk', final: 'hk', step: 'hk', shape: (n, { h, k, m }) => [n, h, k, m] },
      { initial: 'initialHv', final: 'hv', step: 'hv', shape: (n, { hv, m, v }) => [n, hv, m, v] },
    ],
    ungrouped: true,
  },
  {
    ...plain,
    label: 'abc',
    name: 'abc',
    reference: abc,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, Math.min(size, 3)),
      s: logits(random, [lengths.b, lengths.t, lengths.h, lengths.m], kind),
    }),
    states: [
      { initial: 'initialHk', final: 'hk', step: 'hk', shape: (n, { h, k, m }) => [n, h, k, m] },
      { initial: 'initialHv', final: 'hv', step: 'hv', shape: (n, { hv, m, v }) => [n, hv, m, v] },
      {
        initial: 'initialZ',
        final: 'z',
        step: 'z',
        shape: (n, { h, m }) => [n, h, m],
        fill: Number.NEGATIVE_INFINITY,
        sample: logState,
      },
    ],
    ungrouped: true,
  },
  {
    ...plain,
    label: 'lightnet',
    name: 'lightnet',
    reference: lightnet,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, size),
      k: logits(random, [lengths.b, lengths.t, lengths.h, lengths.k], kind),
    }),
    states: [
      matrixState,
      {
        initial: 'initialZ',
        final: 'z',
        step: 'z',
        shape: (n, { h, k }) => [n, h, k],
        fill: Number.NEGATIVE_INFINITY,
        sample: logState,
      },
    ],
  },
  {
    ...plain,
    label: 'mlstm',
    name: 'mlstm',
    reference: mlstm,
    tokens: (random, lengths, kind, size) => {
      const { q, k, v } = qkv(random, lengths, size);
      const g = gates(random, [lengths.b, lengths.t, lengths.hv], kind);
      // Positive queries and keys keep the denominator away from 0, where rounding decides what comes out.
      return {
        q: positive(q),
        k: positive(k),
        v,
        i: logits(random, g.shape, kind),
        f: floats(g.shape, (n) => 6 + 2 * g.data[n]!),
      };
    },
    states: [
      { initial: 'initialC', final: 'finalC', step: 'c', shape: (n, { hv, k, v }) => [n, hv, k, v] },
      {
        initial: 'initialN',
        final: 'finalN',
        step: 'n',
        shape: (n, { hv, k }) => [n, hv, k],
        sample: (random, shape) => positive(normal(random, shape)),
      },
      { initial: 'initialM', final: 'finalM', step: 'm', shape: (n, { hv }) => [n, hv, 1] },
    ],
  },
  {
    ...plain,
    label: 'ssd',
    name: 'ssd',
    reference: ssd,
    tokens: (random, lengths, _kind, size) => {
      const { q, k, v } = qkv(random, lengths, size);
      return { x: v, dt: floats([lengths.b, lengths.t, lengths.hv], () => 0.01 + random()), B: k, C: q };
    },
    constants: (random, { hv }, kind) => ({ A: gates(random, [hv], kind === 'walls' ? 'bursts' : kind) }),
    states: [{ ...matrixState, shape: (n, { hv, k, v }) => [n, hv, v, k] }],
    packed: false,
    scaled: false,
  },
  {
    ...plain,
    label: 'ssd with skip, gate, bias and softplus',
    name: 'ssd',
    reference: ssd,
    options: { dtSoftplus: true },
    tokens: (random, lengths, _kind, size) => {
      const { q, k, v } = qkv(random, lengths, size);
      return {
        x: v,
        dt: normal(random, [lengths.b, lengths.t, lengths.hv], 3),
        B: k,
        C: q,
        z: normal(random, v.shape, 2),
      };
    },
    constants: (random, { hv }, kind) => ({
      A: gates(random, [hv], kind === 'walls' ? 'bursts' : kind),
      D: normal(random, [hv]),
      dtBias: normal(random, [hv]),
    }),
    states: [{ ...matrixState, shape: (n, { hv, k, v }) => [n, hv, v, k] }],
    packed: false,
    scaled: false,
  },
  {
    ...plain,
    label: 'performer',
    name: 'performer',
    reference: performer,
    options: { causal: true },
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, Math.min(size, 2)),
    constants: (random, { k, m }) => ({ projection: normal(random, [m, k]) }),
    states: [],
    packed: false,
    steps: false,
    scaled: false,
    work: ({ t, k, v, m }) => t * (k + v + m),
  },
  {
    ...plain,
    label: 'performer, not causal',
    name: 'performer',
    reference: performer,
    options: { causal: false },
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, Math.min(size, 2)),
    constants: (random, { k, m }) => ({ projection: normal(random, [m, k]) }),
    states: [],
    packed: false,
    steps: false,
    scaled: false,
    work: ({ t, k, v, m }) => t * (k + v + m),
  },
  ...[true, false].map(
    (causal): Method => ({
      ...plain,
      label: `cosformer${causal ? '' : ', not causal'}`,
      name: 'cosformer',
      reference: cosformer,
      options: { causal },
      tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
      states: [],
      packed: false,
      steps: false,
      scaled: false,
      work: ({ t, k, v, m }) => t * (k + v + m),
    }),
  ),
  {
    ...plain,
    label: 'cosformer, streaming',
    name: 'cosformer',
    reference: cosformerRecurrent,
    options: { maxLength: 2000 },
    from: (offset) => ({ offset }),
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
    states: featureStates(({ k }) => 2 * k),
    packed: false,
    scaled: false,
    work: ({ k, v }) => 2 * k * v,
  },
  ...[true, false].map(
    (causal): Method => ({
      ...plain,
      label: `performer, fixed stabilizer${causal ? '' : ', not causal'}`,
      name: 'performer',
      reference: performerRecurrent,
      options: { causal, stabilizer: 1.5 },
      // Small exponents: the digits of a large one are those of its exponential, and rounding decides which they are.
      tokens: (random, lengths) => qkv(random, lengths, 0.5),
      constants: (random, { k, m }) => ({ projection: normal(random, [m, k]) }),
      states: featureStates(({ m }) => m),
      steps: causal,
      scaled: false,
      work: ({ k, v, m }) => m * (k + v),
    }),
  ),
  ...[{}, { scale: 2, causal: false }].map(
    (options): Method => ({
      ...plain,
      label: `hedgehog${'scale' in options ? ' with scale, not causal' : ''}`,
      name: 'hedgehog',
      reference: hedgehog,
      options,
      tokens: (random, lengths, _kind, size) => qkv(random, lengths, Math.min(size, 2)),
      constants: (random, lengths) => ({ w: linearMaps(random, lengths) }),
      states: featureStates(({ m }) => 2 * m),
      steps: !('causal' in options),
      scaled: false,
      work: ({ k, v, m }) => m * (k + 2 * v),
    }),
  ),
  {
    ...plain,
    label: 't2r',
    name: 't2r',
    reference: t2r,
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
    constants: (random, lengths) => ({
      w: linearMaps(random, lengths),
      bias: normal(random, [lengths.h, lengths.m]),
      // the keys' own map, positive so that no sum of weights nears 0
      wK: linearMaps(random, lengths),
      biasK: positive(normal(random, [lengths.h, lengths.m])),
    }),
    states: featureStates(({ m }) => m),
    scaled: false,
    work: ({ k, v, m }) => m * (k + v),
  },
  {
    ...plain,
    label: 'dpfp',
    name: 'dpfp',
    reference: dpfp,
    tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
    states: featureStates(({ k }) => 8 * k),
    scaled: false,
    work: ({ k, v }) => 8 * k * v,
  },
  ...[true, false].map(
    (causal): Method => ({
      ...plain,
      label: `focused${causal ? ', causal' : ''}`,
      name: 'focused',
      reference: focused,
      options: { causal },
      tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
      states: featureStates(({ k }) => k),
      steps: false,
      scaled: false,
    }),
  ),
  ...([sana, slab] as const).map(
    (reference, n): Method => ({
      ...plain,
      label: ['sana', 'slab'][n]!,
      name: ['sana', 'slab'][n]!,
      reference,
      options: { causal: false },
      tokens: (random, lengths, _kind, size) => qkv(random, lengths, size),
      states: featureStates(({ k }) => k),
      steps: false,
      scaled: false,
    }),
  ),
  {
    ...plain,
    label: 'qtVit',
    name: 'qtVit',
    reference: qtVit,
    options: { causal: false },
    tokens: (random, lengths, _kind, size) => {
      const { q, k, v } = qkv(random, lengths, size);
      // Positive ones keep the sum of weights away from 0, where rounding decides what comes out.
      return { q: positive(q), k: positive(k), v };
    },
    states: featureStates(({ k }) => 1 + 2 * k),
    steps: false,
    scaled: false,
    work: ({ k, v }) => 2 * k * v,
  },
  ...[[based, basedRecurrent] as const, [rebased, rebasedRecurrent] as const].map(
    ([reference, recurrent]): Method => ({
      ...plain,
      label: reference.name,
      name: reference.name,
      reference,
      forms: [recurrent],
      tokens: (random, lengths, _kind, size) => {
        const { q, k, v } = qkv(random, lengths, Math.min(size, 2));
        // Positive ones keep the sum of squares away from 0, where rounding decides what comes out.
        return reference === rebased ? { q: positive(q), k: positive(k), v } : { q, k, v };
      },
      states: [
        { initial: 'initialState', final: 'finalState', step: 'state' },
        { initial: 'initialNormalizer', final: 'finalNormalizer', step: 'normalizer' },
      ],
      work: ({ k, v, t }) => 4 * k * k * (v + 4) + t * (k + v),
    }),
  ),
  {
    ...plain,
    label: 'logLinearAttn',
    name: 'logLinearAttn',
    reference: logLinearAttn,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, size),
      g: gates(random, [lengths.b, lengths.t, lengths.hv], kind),
      levelScales: normal(random, [lengths.b, lengths.t, lengths.hv, levelsOf(lengths.t)]),
    }),
    states: [],
    packed: false,
    steps: false,
    scaled: false,
    work: ({ t, k, v, m }) => t * (k + v + m),
  },
  {
    ...plain,
    label: 'metala',
    name: 'metala',
    reference: metala,
    tokens: (random, lengths, kind, size) => {
      const { q, v } = qkv(random, lengths, size);
      return { q, v, g: gates(random, q.shape, kind) };
    },
    constants: (random, { h, k }) => ({ aug: normal(random, [h, k]) }),
  },
  {
    ...plain,
    label: 'rodimus',
    name: 'rodimus',
    reference: rodimus,
    tokens: (random, lengths, kind, size) => {
      const inputs = qkv(random, lengths, size);
      const g = gates(random, inputs.q.shape, kind === 'walls' || kind === 'bursts' ? 'mild' : kind);
      return {
        ...inputs,
        g: floats(g.shape, (n) => 0.001 - g.data[n]!),
        tau: floats(g.shape, () => 0.05 + 0.9 * random()),
      };
    },
  },
  {
    ...plain,
    label: 'mamba3',
    name: 'mamba3',
    reference: mamba3,
    tokens: (random, lengths, kind, size) => {
      const { q, k, v } = qkv(random, lengths, size);
      const perHead = [lengths.b, lengths.t, lengths.hv];
      return {
        q,
        k,
        x: v,
        dt: floats(perHead, () => 0.01 + random()),
        A: gates(random, perHead, kind),
        lambda: floats(perHead, random),
        angle: normal(random, [...perHead, Math.floor(lengths.k / 2)]),
        z: normal(random, v.shape),
      };
    },
    constants: (random, { hv }) => ({ D: normal(random, [hv]) }),
    states: [
      matrixState,
      {
        initial: 'initialAngle',
        final: 'finalAngle',
        step: 'lastAngle',
        shape: (n, { hv, k }) => [n, hv, Math.floor(k / 2)],
        sample: (random, shape) => floats(shape, () => 6 * random()),
      },
      { initial: 'initialK', final: 'finalK', step: 'lastK', shape: (n, { hv, k }) => [n, hv, k] },
      { initial: 'initialX', final: 'finalX', step: 'lastX', shape: (n, { hv, v }) => [n, hv, v] },
    ],
    scaled: false,
  },
  {
    ...plain,
    label: 'mom',
    name: 'mom',
    reference: mom,
    tokens: (random, lengths, kind, size) => ({
      ...qkv(random, lengths, size),
      g: gates(random, [lengths.b, lengths.t, lengths.hv], kind),
      // Two of the memories of a token in three, the first one always.
      weights: floats([lengths.b, lengths.t, lengths.m], (n) => (n % lengths.m === 0 || random() < 0.6 ? random() : 0)),
    }),
    states: [{ ...matrixState, shape: (n, { hv, k, v, m }) => [n, m, hv, k, v] }],
    work: ({ k, v, m }) => k * v * m,
  },
];

/** Names of those that are several calls of the engine, or one behind a map of features. */
export const derived: readonly string[] = [
  'gsa',
  'abc',
  'lightnet',
  'performer',
  'cosformer',
  'hedgehog',
  't2r',
  'dpfp',
  'focused',
  'sana',
  'slab',
  'qtVit',
  'based',
  'rebased',
  'logLinearAttn',
  'rodimus',
  'mamba3',
  'mom',
];

/** Levels that logLinearAttn has at T = t: the token itself and the bits of its number. */
export function levelsOf(t: number): number {
  return 1 + (t > 1 ? Math.floor(Math.log2(t - 1)) + 1 : 0);
}
