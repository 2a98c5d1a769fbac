/**
 * What the methods of the gated-linear engine share: their operands checked, their results made.
 *
 * @module
 */
import { ShapeError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { LinearCall } from './linear.ts';
import { type SequenceSpan, sequencesOf } from './sequences.ts';
import { expectRows, expectTypes, finite, matchShapes, type Sizes } from './shapes.ts';
import { carried } from './states.ts';
import type { StepTarget } from './step.ts';

/** Operands that most methods have. */
export interface LinearInputs {
  /** [B, T, H, K]; any storage type. */
  readonly q: Tensor;
  /** [B, T, H, K] */
  readonly k: Tensor;
  /** [B, T, HV, V], HV a multiple of H: value head h goes with key head floor(h / (HV / H)). */
  readonly v: Tensor;
  /** f32 [N, HV, K, V], N = B or the number of sequences. Default zeros. */
  readonly initialState?: Tensor;
  /** i32 [N + 1]: boundaries of sequences packed along T; B is then 1. */
  readonly cuSeqlens?: Tensor;
}

/** The inputs of a step: those of the sequence form without the time axis, and a state that is updated in place. */
export type Stepped<I> = Omit<I, 'initialState' | 'cuSeqlens'> & {
  /** f32 [B, HV, K, V], updated in place. */
  readonly state: Tensor;
  /** f32 [B, HV, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
};

/** Options that most methods have. */
export interface LinearOptions {
  /** Factor on q. Default K^-1/2. */
  readonly scale?: number;
}

/** Outputs that most methods have. */
export interface LinearResult {
  /** f32 [B, T, HV, V] */
  readonly o: Tensor;
  /** f32 [N, HV, K, V]: the state after the last token. */
  readonly finalState: Tensor;
}

/** Lengths by name. */
export type LinearSizes = Readonly<Record<'B' | 'T' | 'H' | 'HV' | 'K' | 'V' | 'N', number>>;

/** What a method goes on from. */
export interface OpenLinear {
  readonly sizes: LinearSizes;
  readonly call: LinearCall & { readonly o: Tensor };
}

const STORAGE = ['f32', 'f16', 'bf16'] as const;

/** Checked operands, before a state is there. */
export interface OpenOperands {
  readonly sizes: LinearSizes;
  readonly call: Omit<LinearCall, 'initial' | 'final'> & { readonly o: Tensor };
}

/**
 * Checks q, k, v and `gates` (name, tensor and axes): lengths and sequences.
 *
 * @throws ShapeError, DTypeError
 */
export function linearSizes(
  op: string,
  inputs: Partial<LinearInputs>,
  { names = {}, gates = {}, rows = {}, tiedKeys = false }: LinearNames,
): { sizes: LinearSizes & Sizes; sequences: SequenceSpan[] } {
  const { q, k, v, cuSeqlens } = inputs;
  const named = (name: keyof LinearInputs) => names[name] ?? name;
  const operands: Record<string, Tensor | undefined> = { [named('q')]: q };
  const patterns: Record<string, string> = { [named('q')]: 'B T H K' };
  if (!tiedKeys) {
    operands[named('k')] = k;
    patterns[named('k')] = 'B T H K';
  }
  operands[named('v')] = v;
  patterns[named('v')] = 'B T HV V';
  for (const [name, [tensor, axes]] of Object.entries(rows)) {
    operands[name] = tensor;
    patterns[name] = axes;
  }
  const others: Record<string, Tensor | undefined> = {};
  for (const [name, [tensor, axes]] of Object.entries(gates)) {
    others[name] = tensor;
    patterns[name] = axes;
  }
  const matched = matchShapes(op, { ...operands, ...others }, patterns) as Sizes & Omit<LinearSizes, 'N'>;
  expectTypes(op, operands, STORAGE);
  expectRows(op, { ...operands, ...others });
  expectTypes(op, others, ['f32']);
  if (matched.HV % Math.max(1, matched.H) !== 0) {
    throw new ShapeError(
      `${op}: ${named('v')} has ${matched.HV} heads and ${named('q')} ${matched.H}; expected a whole number of value heads to a key head`,
    );
  }
  const { B, T } = matched;
  const sequences = sequencesOf(op, { B, Tq: T, Tk: T }, { cuSeqlens });
  return { sizes: { ...matched, N: sequences.length }, sequences };
}

/**
 * As `linearSizes`; makes o, or takes that of a step.
 *
 * @throws ShapeError, DTypeError, OptionError
 */
export function openOperands(
  b: Builder,
  op: string,
  inputs: Partial<LinearInputs>,
  options: LinearOptions & { readonly fallbackScale?: number },
  names: LinearNames = {},
): OpenOperands {
  const { q, k, v } = inputs;
  const { sizes, sequences } = linearSizes(op, inputs, names);
  const { B, T, HV, V } = sizes;
  const call = {
    q,
    k,
    v: v!,
    sequences,
    scale: finite(op, 'scale', options.scale, options.fallbackScale ?? sizes.K ** -0.5),
    o: names.into?.o ?? b.output([B, T, HV, V]),
  };
  return { sizes, call };
}

/**
 * As `openOperands`, with the initial state checked and the final state made, or taken from a step.
 *
 * @throws ShapeError, DTypeError, OptionError
 */
export function openLinear(
  b: Builder,
  op: string,
  inputs: Partial<LinearInputs>,
  options: LinearOptions & { readonly fallbackScale?: number },
  names: LinearNames = {},
): OpenLinear {
  const { call, sizes } = openOperands(b, op, inputs, options, names);
  const name = names.names?.initialState ?? 'initialState';
  const shape = [sizes.N, sizes.HV, sizes.K, sizes.V];
  return { sizes, call: { ...call, ...stateOf(b, op, name, inputs.initialState, shape, names.into) } };
}

/** How a method calls its operands, which other tensors it has, and where a step goes. */
export interface LinearNames {
  readonly names?: Partial<Record<keyof LinearInputs, string>>;
  /** f32 tensors with rows contiguous along their last axis. */
  readonly gates?: Readonly<Record<string, readonly [Tensor | undefined, string]>>;
  /** Tensors of any storage type, likewise. */
  readonly rows?: Readonly<Record<string, readonly [Tensor | undefined, string]>>;
  readonly into?: StepTarget | undefined;
  /** There is no k. */
  readonly tiedKeys?: boolean;
}

/** The state before, and where the state after goes: a new tensor, or in place in a step. */
export function stateOf(
  b: Builder,
  op: string,
  name: string,
  initial: Tensor | undefined,
  shape: readonly number[],
  into: StepTarget | undefined,
): Pick<LinearCall, 'initial' | 'final'> {
  const state = carried(b, op, name, initial, shape, into, 'strided');
  return { initial: initial && { state: initial }, final: { state } };
}
