/**
 * Mixture of memories.
 *
 * @module
 */
import { linear } from '../engines/linear.ts';
import { type LinearOptions, linearSizes, stateOf } from '../engines/linear-operands.ts';
import { combineRows, firstMemory, gatherRows, routeTokens } from '../engines/routing.ts';
import {
  expectContiguous,
  expectNames,
  expectTensor,
  expectTypes,
  finite,
  integers,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `mom`. Those with an axis M may leave it out: all memories then share them. With `shared` M counts the shared memory too. */
export interface MomInputs {
  /** [B, T, H, K]; any storage type. */
  readonly q: Tensor;
  /** [B, T, M, H, K] or [B, T, H, K] */
  readonly k: Tensor;
  /** [B, T, M, HV, V] or [B, T, HV, V]; value head h goes with key head floor(h / (HV / H)). */
  readonly v: Tensor;
  /** f32 [B, T, M, HV] or [B, T, HV]: log decay, one a head. Default 0. */
  readonly g?: Tensor;
  /** f32 [B, T, M, H, K] or [B, T, H, K]: log decay of the rows, in place of g. */
  readonly gk?: Tensor;
  /** f32 [B, T, M], without the shared memory: the router's weights, 0 where a token skips a memory; or [B, T, k] with `indices`. */
  readonly weights: Tensor;
  /** i32 [B, T, k]: the memories of a token, whose weights are then [B, T, k]. */
  readonly indices?: Tensor;
  /** f32 [N, M, HV, K, V]. Default zeros. */
  readonly initialState?: Tensor;
  /** i32 [N + 1]: boundaries of sequences packed along T; B is then 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `mom`. */
export interface MomOptions extends LinearOptions {
  /** Whether one more memory, the last, takes every token with weight 1. Default false. */
  readonly shared?: boolean;
  /** With `indices`: how many memories they choose from. */
  readonly memories?: number;
}

/** Outputs of `mom`. */
export interface MomResult {
  /** f32 [B, T, HV, V] */
  readonly o: Tensor;
  /** f32 [N, M, HV, K, V] */
  readonly finalState: Tensor;
}

/** Operands of `momStep`: those of `mom` without the T axis, and the state, which is updated in place. */
export interface MomStepInputs extends Omit<MomInputs, 'initialState' | 'cuSeqlens'> {
  /** f32 [B, M, HV, K, V] */
  readonly state: Tensor;
  /** f32 [B, HV, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'mom';

/** The router's weights [B, T, memories] with those of the shared memory last. */
function denseWeights(
  { weights, indices }: MomInputs,
  { shared = false, memories }: MomOptions,
  tokens: number,
): { weights: Float32Array; memories: number } {
  const given = weights.dataSync() as Float32Array;
  const chosen = weights.shape[2]!;
  if (!indices && memories !== undefined) {
    throw new OptionError(
      `${OP}: memories is ${memories} without indices; the weights [B, T, M] say how many there are`,
    );
  }
  if (indices && memories === undefined) {
    throw new OptionError(`${OP}: memories is missing, expected how many memories the indices choose from`);
  }
  const routed = whole(OP, 'memories', memories, chosen, 0);
  const count = routed + (shared ? 1 : 0);
  const at = indices && integers(OP, 'indices', indices);
  const dense = new Float32Array(tokens * count);
  for (let token = 0; token < tokens; ++token) {
    for (let i = 0; i < chosen; ++i) {
      const memory = at ? at[token * chosen + i]! : i;
      if (!(memory >= 0 && memory < routed)) {
        throw new ShapeError(
          `${OP}: indices holds ${memory}, expected 0 to ${routed - 1}: there are ${routed} memories`,
        );
      }
      dense[token * count + memory]! += given[token * chosen + i]!;
    }
    if (shared) dense[token * count + routed] = 1;
  }
  return { weights: dense, memories: count };
}

/** Lays out the call. */
export function planMom(b: Builder, inputs: MomInputs, options: MomOptions, into?: StepTarget): MomResult {
  const known = ['q', 'k', 'v', 'g', 'gk', 'weights', 'indices', 'initialState', 'cuSeqlens'];
  expectNames(OP, 'input', inputs, known);
  expectNames(OP, 'option', options, ['scale', 'shared', 'memories']);
  const { q, k, v, g, gk, weights, indices, initialState, cuSeqlens } = inputs;
  if (g && gk) throw new OptionError(`${OP}: g and gk were both given; add g to gk`);
  const own = { k: axes(k) > 4, v: axes(v) > 4, g: axes(g) > 3, gk: axes(gk) > 4 };
  const one = <X extends Tensor | undefined>(name: keyof typeof own, x: X) => (own[name] ? firstMemory(x!) : x);
  const { sizes, sequences } = linearSizes(
    OP,
    { q, k: one('k', k)!, v: one('v', v)!, ...(cuSeqlens && { cuSeqlens }) },
    { gates: { g: [one('g', g), '?B T HV'], gk: [one('gk', gk), '?B T H K'] } },
  );
  const { B, T, H, HV, K, V, N } = sizes;
  expectTensor(OP, 'weights', weights, '[B, T, M]');
  matchShapes(OP, { weights, indices }, { weights: `${B} ${T} M`, indices: `?${B} ${T} M` });
  expectTypes(OP, { weights }, ['f32']);
  const routed = denseWeights(inputs, options, B * T);
  const M = routed.memories;
  const each = { k: `${B} ${T} ${M} ${H} ${K}`, v: `${B} ${T} ${M} ${HV} ${V}`, g: `${B} ${T} ${M} ${HV}` };
  const all = { k, v, g, gk };
  for (const [name, pattern] of Object.entries({ ...each, gk: each.k }) as [keyof typeof own, string][]) {
    if (own[name]) matchShapes(OP, { [name]: all[name] }, { [name]: pattern });
  }
  const scale = finite(OP, 'scale', options.scale, K ** -0.5);
  expectContiguous(OP, { initialState });
  const { initial, final } = stateOf(b, OP, 'initialState', initialState, [N, M, HV, K, V], into);
  const o = into?.o ?? b.output([B, T, HV, V]);

  const routing = routeTokens(routed.weights, M, sequences, T, B * T);
  const table = b.table(routing.rows);
  const rows = (x: Tensor, memories: boolean) => gatherRows(b, x, memories, table, routing.count);
  // one gate a head is gathered as a row of its heads
  const gates = g && rows(asRow(g), own.g).reshape([1, routing.count, HV]);
  const packed = b.temporary([1, routing.count, HV, V]);
  const states = (x: Tensor) => ({ state: x.reshape([N * M, HV, K, V]) });
  linear(b, {
    q: rows(q, false),
    k: rows(k, own.k),
    v: rows(v, own.v),
    g: gates ?? (gk && rows(gk, own.gk)),
    scale,
    initial: initial && states(initial.state!),
    final: states(final.state),
    o: packed,
    sequences: routing.sequences,
  });
  combineRows(b, packed, routing, o);
  b.note(() => `${routing.count} of ${B * T * M} pairs of a token and a memory are routed`);
  return { o, finalState: final.state };
}

function axes(x: Tensor | undefined): number {
  return x?.shape?.length ?? 0;
}

/** x [..., HV] as [..., 1, HV]. */
function asRow(x: Tensor): Tensor {
  return x.restride([...x.shape.slice(0, -1), 1, x.shape.at(-1)!], [...x.strides.slice(0, -1), 0, x.strides.at(-1)!]);
}

/**
 * Mixture of memories: S^m_t = e^g_t S^m_{t-1} + k_t v_t for the memories that token t is routed to, while the others stay as they are,
 * and o_t = scale sum_m weights_t[m] q_t S^m_t.
 *
 * Source: MoM (Du 2025).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await mom({ q, k, v, g, weights }, { shared: true })
 */
export function mom(inputs: MomInputs, options: MomOptions = {}): Promise<MomResult> {
  return run(OP, inputs, (b) => planMom(b, inputs, options));
}

/** As `mom`, to the end before it returns. */
export function momSync(inputs: MomInputs, options: MomOptions = {}): MomResult {
  return runSync(OP, inputs, (b) => planMom(b, inputs, options));
}

/**
 * One token of `mom`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example momStep({ q, k, v, g, weights, state, o }, { shared: true })
 */
export function momStep(inputs: MomStepInputs, options: MomOptions = {}): { o: Tensor } {
  const { v } = inputs;
  const shape = {
    op: OP,
    options,
    timed: ['v', 'q', 'k', 'weights', 'g', 'gk', 'indices'],
    states: { state: 'initialState' },
    // without the axis of memories
    ...(axes(v) === 4 && { shape: [v.shape[0]!, ...v.shape.slice(2)] }),
  };
  return runStep(shape, inputs, (b, lifted, into) => planMom(b, lifted, options, into));
}
