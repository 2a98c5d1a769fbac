// The methods of the fast-weight engine: their operands, states and references.
import {
  lact,
  lactStep,
  lactSync,
  titans,
  titansLinear,
  titansLinearStep,
  titansLinearSync,
  titansStep,
  titansSync,
  tttLinear,
  tttLinearStep,
  tttLinearSync,
  tttMlp,
  tttMlpStep,
  tttMlpSync,
} from '../src/index.ts';
import { lactBackward, lact as lactReference } from './reference/lact.ts';
import type { NdArray, Round } from './reference/ndarray.ts';
import {
  titansDual,
  titansLinearDual,
  titansLinear as titansLinearReference,
  titans as titansReference,
} from './reference/titans.ts';
import {
  tttLinearDual,
  tttLinear as tttLinearReference,
  tttMlpDual,
  tttMlp as tttMlpReference,
} from './reference/ttt.ts';
import { type FloatSample, floats, normal } from './samples.ts';

/** Lengths of a call: a mini-batch of c tokens, m units between two layers. */
export interface Lengths {
  b: number;
  t: number;
  h: number;
  d: number;
  c: number;
  m: number;
}

type Random = () => number;
type Samples = Record<string, FloatSample>;

// biome-ignore-start lint/suspicious/noExplicitAny: every method has inputs, options and results of its own
export interface FastMethod {
  label: string;
  op: (inputs: any, options?: any) => Promise<any>;
  sync: (inputs: any, options?: any) => any;
  step: (inputs: any, options?: any) => { o: any };
  reference: (inputs: any, options: any, round: Round) => Record<string, NdArray>;
  /** Other ways in which the same is naively computed. */
  forms: ((inputs: any, options: any, round: Round) => Record<string, NdArray>)[];
  options: (lengths: Lengths) => object;
  /** Elements that a token meets. */
  work: (lengths: Lengths) => number;
  /** Operands [B,T,...]. */
  tokens: (random: Random, lengths: Lengths) => Samples;
  /** Operands without T that are no states. */
  constants: (random: Random, lengths: Lengths) => Samples;
  /** States before the first token, by the name of a prefill; those that are left out are zeros. */
  initial: (random: Random, lengths: Lengths) => Samples;
  /** States: what a prefill calls them before and after, and what a step does; and their axes behind [N,H], undefined for positions. */
  states: { initial: string; final: string; step: string; shape: (lengths: Lengths) => number[] | undefined }[];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above

const rows = (random: Random, { b, t, h, d }: Lengths): Samples => ({
  q: normal(random, [b, t, h, d]),
  k: normal(random, [b, t, h, d]),
  v: normal(random, [b, t, h, d]),
});
const norm = (random: Random, { h, d }: Lengths): Samples => ({
  lnWeight: floats([h, d], () => 0.5 + random()),
  lnBias: normal(random, [h, d], 0.2),
});
// fast enough to matter; slow enough, for as many gradients as are added at once, that rounding errors do not grow from one to the next
const rate = ({ d, c }: Lengths) => 1 / (d * (c + 3));
const rates = (random: Random, lengths: Lengths): Samples => {
  const { b, t, h } = lengths;
  return { eta: floats([b, t, h], () => 0.2 * random() * rate(lengths)) };
};
const momenta = (random: Random, lengths: Lengths): Samples => {
  const { b, t, h } = lengths;
  return {
    eta: floats([b, t, h, 1], () => 0.9 * random()),
    theta: floats([b, t, h, 1], () => 0.05 * random() * rate(lengths)),
    alpha: floats([b, t, h, 1], () => 0.1 * random()),
  };
};
/** A norm of few elements may meet rows that hardly vary, whose rounding errors it blows up; a larger eps keeps them small. */
const conditioned = (d: number) => (d < 8 ? { eps: 0.1 } : {});
const tokenIdx = (random: Random, { c }: Lengths): Samples => ({
  tokenIdx: floats([c], (i) => Math.max(1 / (i + 1) + 0.1 * random(), 0)),
});
const position = { initial: 'initialPosition', final: 'position', step: 'position', shape: () => undefined };

function linear(label: string, options: object, more: Partial<FastMethod>): FastMethod {
  const bias = !('bias' in options);
  return {
    label,
    op: tttLinear,
    sync: tttLinearSync,
    step: tttLinearStep,
    reference: tttLinearReference,
    forms: [tttLinearDual],
    options: ({ c, d }) => ({ miniBatchSize: c, ...conditioned(d), ...options }),
    work: ({ d }) => d * d,
    tokens: (random, lengths) => ({ ...rows(random, lengths), ...rates(random, lengths) }),
    constants: norm,
    initial: (random, { b, h, d }) => ({
      initialState: normal(random, [b, h, d, d], d ** -0.5),
      ...(bias && { initialStateBias: normal(random, [b, h, 1, d], 0.3) }),
    }),
    states: [
      { initial: 'initialState', final: 'finalState', step: 'state', shape: ({ d }) => [d, d] },
      ...(bias
        ? [
            {
              initial: 'initialStateBias',
              final: 'finalStateBias',
              step: 'stateBias',
              shape: ({ d }: Lengths) => [1, d],
            },
          ]
        : []),
      {
        initial: 'initialGradient',
        final: 'gradient',
        step: 'gradient',
        shape: ({ d }) => [(d + (bias ? 1 : 0)) * d],
      },
      position,
    ],
    ...more,
  };
}

function mlp(label: string, options: object, more: Partial<FastMethod>): FastMethod {
  return {
    label,
    op: tttMlp,
    sync: tttMlpSync,
    step: tttMlpStep,
    reference: tttMlpReference,
    forms: [tttMlpDual],
    options: ({ c, d }) => ({ miniBatchSize: c, ...conditioned(d), ...options }),
    work: ({ d, m }) => 3 * d * m,
    tokens: (random, lengths) => ({ ...rows(random, lengths), ...rates(random, lengths) }),
    constants: norm,
    initial: (random, { b, h, d, m }) => ({
      w1: normal(random, [b, h, d, m], d ** -0.5),
      b1: normal(random, [b, h, 1, m], 0.3),
      w2: normal(random, [b, h, m, d], m ** -0.5),
      b2: normal(random, [b, h, 1, d], 0.3),
    }),
    states: [
      { initial: 'w1', final: 'w1', step: 'w1', shape: ({ d, m }) => [d, m] },
      { initial: 'b1', final: 'b1', step: 'b1', shape: ({ m }) => [1, m] },
      { initial: 'w2', final: 'w2', step: 'w2', shape: ({ d, m }) => [m, d] },
      { initial: 'b2', final: 'b2', step: 'b2', shape: ({ d }) => [1, d] },
      {
        initial: 'initialGradient',
        final: 'gradient',
        step: 'gradient',
        shape: ({ d, m }) => [(d + 1) * m + (m + 1) * d],
      },
      position,
    ],
    ...more,
  };
}

/** A memory whose state has these axes behind [N,H], and whose weights vary by `std`. */
function memory(
  label: string,
  linear: boolean,
  options: object,
  shape: (d: number) => number[],
  more: Partial<FastMethod> = {},
): FastMethod {
  const axes = ({ d }: Lengths) => shape(d);
  return {
    label,
    op: linear ? titansLinear : titans,
    sync: linear ? titansLinearSync : titansSync,
    step: linear ? titansLinearStep : titansStep,
    reference: linear ? titansLinearReference : titansReference,
    forms: [linear ? titansLinearDual : titansDual],
    options: ({ c, d }) => ({ chunkSize: c, ...conditioned(d), ...options }),
    work: ({ d }) => 2 * shape(d).reduce((product, n) => product * n, 1),
    tokens: (random, lengths) => ({ ...rows(random, lengths), ...momenta(random, lengths) }),
    constants: norm,
    initial: (random, { b, h, d }) => ({
      initialState: normal(random, [b, h, ...shape(d)], d ** -0.5),
      initialMomentum: normal(random, [b, h, ...shape(d)], 0.1 * d ** -0.5),
    }),
    states: [
      { initial: 'initialState', final: 'finalState', step: 'state', shape: axes },
      { initial: 'initialMomentum', final: 'finalMomentum', step: 'momentum', shape: axes },
      { initial: 'initialAnchor', final: 'anchor', step: 'anchor', shape: axes },
      position,
    ],
    ...more,
  };
}

/** LaCT; values have as many elements as keys. */
function chunks(label: string, options: object, momentum: boolean): FastMethod {
  const size = ({ d, m }: Lengths) => 3 * d * m;
  return {
    label,
    op: lact,
    sync: lactSync,
    step: lactStep,
    reference: lactReference,
    forms: [lactBackward],
    // orthogonal updates are as large as the weights: fewer tokens than a matrix has sides leave zeros that they blow up, and many of
    // them lead nowhere in particular
    options: ({ c, d, m }) => ({
      chunkSize: 'useMuon' in options ? Math.max(c, 2 * Math.min(d, m), 32) : c,
      ...options,
    }),
    // the orthogonal factor of a few rows is the direction of what may nearly cancel
    work: (lengths) => ('useMuon' in options && lengths.m < 7 ? Number.POSITIVE_INFINITY : 2 * size(lengths)),
    tokens: (random, lengths) => {
      const { b, t, h, d, c } = lengths;
      const gate = (factor: number) => floats([b, t, h, 1], () => factor * random());
      const most = 0.3 / (d * c);
      return {
        ...rows(random, lengths),
        lr0: gate(most),
        lr1: gate(most),
        lr2: gate(most),
        ...(momentum && { momentum: gate(1) }),
      };
    },
    constants: () => ({}),
    initial: (random, { b, h, d, m }) => ({
      w0: normal(random, [b, h, m, d], d ** -0.5),
      w1: normal(random, [b, h, d, m], m ** -0.5),
      w2: normal(random, [b, h, m, d], d ** -0.5),
    }),
    states: [
      { initial: 'w0', final: 'w0', step: 'w0', shape: ({ d, m }) => [m, d] },
      { initial: 'w1', final: 'w1', step: 'w1', shape: ({ d, m }) => [d, m] },
      { initial: 'w2', final: 'w2', step: 'w2', shape: ({ d, m }) => [m, d] },
      { initial: 'initialNorms', final: 'norms', step: 'norms', shape: ({ d, m }) => [2 * m + d] },
      { initial: 'initialGradient', final: 'gradient', step: 'gradient', shape: (lengths) => [size(lengths)] },
      ...(momentum
        ? [
            {
              initial: 'initialMomentum',
              final: 'finalMomentum',
              step: 'momentumState',
              shape: (lengths: Lengths) => [size(lengths)],
            },
            { initial: 'initialFactor', final: 'factor', step: 'factor', shape: () => [] },
          ]
        : []),
      position,
    ],
  };
}

const none = () => ({});
const withPlaces = (random: Random, lengths: Lengths) => ({ ...norm(random, lengths), ...tokenIdx(random, lengths) });

export const fastMethods: readonly FastMethod[] = [
  linear('tttLinear', {}, {}),
  linear(
    'tttLinear from zeros',
    {},
    {
      initial: none,
      tokens: (random, l) => ({ ...rows(random, l), eta: floats([l.b, l.t, l.h, 1], () => 1e-4 * random()) }),
    },
  ),
  linear('tttLinear as ttt-lm-pytorch', { residual: 'query', scale: 1 }, { constants: withPlaces }),
  linear('tttLinear without norm and bias', { bias: false }, { constants: none }),
  mlp('tttMlp', {}, {}),
  mlp('tttMlp as ttt-lm-pytorch', { residual: 'query', scale: 1 }, { constants: withPlaces }),
  mlp('tttMlp without norm', {}, { constants: none }),
  memory('titansLinear', true, {}, (d) => [d, d]),
  memory('titansLinear without norm', true, {}, (d) => [d, d], { constants: none, initial: none }),
  memory('titans', false, { expansion: 2 }, (d) => [4 * d * d]),
  memory('titans without norm, silu', false, { expansion: 1, activation: 'silu' }, (d) => [2 * d * d], {
    constants: none,
  }),
  memory(
    'titans of three layers, relu',
    false,
    { depth: 3, expansion: 2, activation: 'relu', target: 'v', residual: 'none' },
    (d) => [8 * d * d],
  ),
  memory('titans of one layer', false, { depth: 1 }, (d) => [d * d]),
  chunks('lact', {}, false),
  chunks('lact with momentum', {}, true),
  chunks('lact with momentum and orthogonal updates', { useMuon: true }, true),
];
