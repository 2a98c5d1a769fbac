// What the tests of the delta family know about each method, as linear-methods.ts does of the gated-linear ones.
import {
  type GateKind,
  gates,
  type Lengths,
  type Method,
  matrixState,
  plain,
  positive,
  qkv,
} from './linear-methods.ts';
import { comba } from './reference/comba.ts';
import { deltaRule, gatedDeltaRule } from './reference/delta-rule.ts';
import { dplr, iplr } from './reference/dplr.ts';
import { gatedOja } from './reference/gated-oja.ts';
import { gdn2 } from './reference/gdn2.ts';
import { kda } from './reference/kda.ts';
import { precondDelta } from './reference/precond-delta.ts';
import { rwkv7 } from './reference/rwkv7.ts';
import { type FloatSample, floats, normal } from './samples.ts';

/** Rows of length 1: delta rules of longer keys grow without end. */
export function unitRows({ shape, data }: FloatSample): FloatSample {
  const d = shape.at(-1)!;
  const norm = (n: number) => {
    const from = Math.floor(n / d) * d;
    return Math.hypot(...data.subarray(from, from + d));
  };
  return floats(shape, (n) => data[n]! / norm(n));
}

/** Queries, keys of length 1 of which some come again, and values. */
export function unitKeys(random: () => number, lengths: Lengths, size: number): Record<'q' | 'k' | 'v', FloatSample> {
  const { q, k, v } = qkv(random, lengths, size);
  const keys = unitRows(k.data.length > 0 ? normal(random, k.shape) : k);
  const token = lengths.h * lengths.k;
  for (let t = 1; t < keys.data.length / token; t++) {
    if (random() < 0.2) keys.data.copyWithin(t * token, (t - 1) * token, t * token);
  }
  return { q, k: keys, v };
}

/** Strengths from 0 to 2, both among them. */
export function strengths(random: () => number, shape: readonly number[]): FloatSample {
  return floats(shape, () => {
    const which = random();
    if (which < 0.1) return 0;
    if (which < 0.2) return 2;
    return which < 0.3 ? 1 : random();
  });
}

const perHead = ({ b, t, hv }: Lengths) => [b, t, hv];
const perKey = ({ b, t, h, k }: Lengths) => [b, t, h, k];

/** Operands of a preconditioned rule. */
function precondTokens(random: () => number, lengths: Lengths, kind: GateKind, size: number, vector: boolean) {
  const { b, t, h } = lengths;
  return {
    ...unitKeys(random, lengths, size),
    g: gates(random, vector ? perKey(lengths) : perHead(lengths), kind),
    beta: floats(perHead(lengths), random),
    gAtk: gates(random, [b, t, h], kind),
    betaAtk: floats([b, t, h], random),
  };
}

const precondStates = [
  matrixState,
  {
    initial: 'initialAState',
    final: 'finalAState',
    step: 'aState',
    shape: (n: number, { h, k }: Lengths) => [n, h, k],
    sample: (random: () => number, shape: number[]) => positive(normal(random, shape)),
  },
];

/** All that take rows of a token at a time; DeltaProduct, which takes several, has tests of its own. */
export const deltaMethods: readonly Method[] = [
  ...[{}, { useQkL2norm: true }].flatMap((options): Method[] => {
    const normalized = 'useQkL2norm' in options;
    const label = (name: string) => (normalized ? `${name}, normalised` : name);
    const keys = (random: () => number, lengths: Lengths, size: number) =>
      normalized ? qkv(random, lengths, size) : unitKeys(random, lengths, size);
    return [
      {
        ...plain,
        options,
        label: label('deltaRule'),
        name: 'deltaRule',
        reference: deltaRule,
        tokens: (random, lengths, _kind, size) => ({
          ...keys(random, lengths, size),
          beta: strengths(random, perHead(lengths)),
        }),
      },
      {
        ...plain,
        options,
        label: label('gatedDeltaRule'),
        name: 'gatedDeltaRule',
        reference: gatedDeltaRule,
        tokens: (random, lengths, kind, size) => ({
          ...keys(random, lengths, size),
          g: gates(random, perHead(lengths), kind),
          beta: strengths(random, perHead(lengths)),
        }),
      },
      {
        ...plain,
        options,
        label: label('kda'),
        name: 'kda',
        reference: kda,
        tokens: (random, lengths, kind, size) => ({
          ...keys(random, lengths, size),
          g: gates(random, perKey(lengths), kind),
          beta: strengths(random, perHead(lengths)),
        }),
      },
      {
        ...plain,
        options,
        label: label('comba'),
        name: 'comba',
        reference: comba,
        tokens: (random, lengths, kind, size) => {
          const { q, k, v } = keys(random, lengths, size);
          return {
            q,
            k,
            v,
            p: floats(k.shape, (n) => 0.7 * k.data[n]!),
            // what is read is not decayed: no stronger than what is left of it
            g: gates(random, perHead(lengths), kind),
            beta: floats(perHead(lengths), random),
          };
        },
        constants: (random, { h }) => ({ D: normal(random, [h]) }),
      },
      {
        ...plain,
        options,
        label: label('gatedOja'),
        name: 'gatedOja',
        reference: gatedOja,
        tokens: (random, lengths, kind, size) => {
          const { q, k, v } = qkv(random, lengths, size);
          return {
            q,
            k,
            v: unitRows(normal(random, v.shape)),
            beta: strengths(random, perHead(lengths)),
            gv: gates(random, v.shape, kind),
          };
        },
      },
    ];
  }),
  {
    ...plain,
    label: 'kda, gates for each value head',
    name: 'kda',
    reference: kda,
    tokens: (random, lengths, kind, size) => {
      const { b, t, hv, k } = lengths;
      return {
        ...unitKeys(random, lengths, size),
        g: gates(random, [b, t, hv, k], kind),
        beta: strengths(random, perHead(lengths)),
      };
    },
  },
  {
    ...plain,
    label: 'gdn2',
    name: 'gdn2',
    reference: gdn2,
    tokens: (random, lengths, kind, size) => {
      const { q, k, v } = unitKeys(random, lengths, size);
      return {
        q,
        k,
        v,
        g: gates(random, perKey(lengths), kind),
        b: floats(k.shape, random),
        w: floats(v.shape, random),
      };
    },
  },
  ...(['dplr', 'iplr'] as const).map(
    (name): Method => ({
      ...plain,
      label: name,
      name,
      reference: name === 'dplr' ? dplr : iplr,
      tokens: (random, lengths, kind, size) => {
        const { q, k, v } = qkv(random, lengths, size);
        const a = unitRows(normal(random, k.shape));
        return {
          q,
          k,
          v,
          a,
          b: floats(k.shape, (n) => -a.data[n]! * random()),
          ...(name === 'dplr' && { gk: gates(random, perKey(lengths), kind) }),
        };
      },
    }),
  ),
  {
    ...plain,
    label: 'rwkv7',
    name: 'rwkv7',
    reference: rwkv7,
    tokens: (random, lengths, kind, size) => {
      const { q, k, v } = qkv(random, lengths, size);
      return {
        r: q,
        w: gates(random, perKey(lengths), kind),
        k,
        v,
        kk: unitRows(normal(random, k.shape)),
        a: floats(k.shape, random),
      };
    },
  },
  {
    ...plain,
    label: 'precondGatedDeltaRule',
    name: 'precondGatedDeltaRule',
    reference: precondDelta,
    tokens: (random, lengths, kind, size) => precondTokens(random, lengths, kind, size, false),
    states: precondStates,
  },
  {
    ...plain,
    label: 'precondGatedDeltaRule, normalised, a centre for each head',
    name: 'precondGatedDeltaRule',
    reference: precondDelta,
    options: { useQkL2norm: true, x: 2, eps: 1e-4 },
    tokens: (random, lengths, kind, size) => ({
      ...precondTokens(random, lengths, kind, size, false),
      ...qkv(random, lengths, size),
    }),
    constants: (random, { h }) => ({ logAtkScale: normal(random, [h]) }),
    states: precondStates,
  },
  {
    ...plain,
    label: 'precondKda',
    name: 'precondKda',
    reference: precondDelta,
    options: { logAtkScale: 0.3 },
    tokens: (random, lengths, kind, size) => precondTokens(random, lengths, kind, size, true),
    states: precondStates,
  },
];
