/**
 * ONNX LinearAttention, opset 27.
 *
 * @module
 */
import { delta } from '../engines/delta.ts';
import { strengths } from '../engines/delta-operands.ts';
import { type LinearCall, linear, readState } from '../engines/linear.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { expectTensors } from './attributes.ts';
import { joinedShape, splitHeads } from './heads.ts';
import { round, unrounded, widened } from './rows.ts';

/** Operands of `LinearAttention`; all of f32, f16 or bf16. */
export interface LinearAttentionInputs {
  /** [B, T, Hq * K] */
  readonly query: Tensor;
  /** [B, T, Hkv * K] */
  readonly key: Tensor;
  /** [B, T, Hkv * V] */
  readonly value: Tensor;
  /** `[B, Hkv, K, V]`: the state before the first token. Default zeros. */
  readonly past_state?: Tensor;
  /** [B, T, Hkv] or [B, T, Hkv * K]: log decay of the state or of its rows; with the gated rules alone. */
  readonly decay?: Tensor;
  /** [B, T, Hkv] or [B, T, 1]: strength of the write; with the delta rules alone. */
  readonly beta?: Tensor;
}

/** How a token changes the state. */
export type UpdateRule = 'linear' | 'gated' | 'delta' | 'gated_delta';

/** Attributes of `LinearAttention`. */
export interface LinearAttentionAttributes {
  /** A multiple of kv_num_heads: query head h reads the state of head floor(h / (q_num_heads / kv_num_heads)). */
  readonly q_num_heads: number;
  readonly kv_num_heads: number;
  /** Default 'gated_delta'. */
  readonly update_rule?: UpdateRule;
  /** Factor on the query; 0: K^-1/2. Default 0. */
  readonly scale?: number;
  /** A hint that changes no result. */
  readonly chunk_size?: number;
}

/** Results of `LinearAttention`. */
export interface LinearAttentionOutputs {
  /** [B, T, Hq * V] of the type of query. */
  readonly output: Tensor;
  /** [B, Hkv, K, V] of the type of past_state, or of query. */
  readonly present_state: Tensor;
}

const OP = 'LinearAttention';
const RULES: readonly UpdateRule[] = ['linear', 'gated', 'delta', 'gated_delta'];
const STORAGE = ['f32', 'f16', 'bf16'] as const;

/** Whether the rule has a decay, and a beta. @throws OptionError if there is no such rule, or the operands are not its own. */
function expectRule(rule: UpdateRule, { decay, beta }: LinearAttentionInputs): void {
  if (!RULES.includes(rule)) {
    throw new OptionError(`${OP}: update_rule is '${rule}', expected one of ${RULES.join(', ')}`);
  }
  const has = { decay: rule === 'gated' || rule === 'gated_delta', beta: rule === 'delta' || rule === 'gated_delta' };
  for (const [name, given] of Object.entries({ decay, beta }) as [keyof typeof has, Tensor | undefined][]) {
    if (has[name] !== (given !== undefined)) {
      throw new OptionError(`${OP}: update_rule '${rule}' ${has[name] ? 'needs' : 'has no'} ${name}`);
    }
  }
}

/** decay as f32 [B, T, Hkv] or [B, T, Hkv, K]. */
function gateOf(b: Builder, decay: Tensor, [B, T, H, K]: readonly [number, number, number, number]): Tensor {
  const perHead = decay.shape.at(-1) === H;
  if (decay.shape.join() !== [B, T, perHead ? H : H * K].join()) {
    throw new ShapeError(
      `${OP}: decay has shape [${decay.shape}], expected [${B}, ${T}, ${H}] or [${B}, ${T}, ${H * K}]`,
    );
  }
  expectTypes(OP, { decay }, STORAGE);
  expectContiguous(OP, { decay });
  const gate = widened(b, decay);
  return perHead ? gate : gate.reshape([B, T, H, K]);
}

/** beta as f32 [B, T, Hkv]. */
function strengthsOf(b: Builder, beta: Tensor, [B, T, H]: readonly [number, number, number, number]): Tensor {
  const shared = beta.shape.at(-1) === 1;
  if (beta.shape.join() !== [B, T, shared ? 1 : H].join()) {
    throw new ShapeError(`${OP}: beta has shape [${beta.shape}], expected [${B}, ${T}, ${H}] or [${B}, ${T}, 1]`);
  }
  expectTypes(OP, { beta }, STORAGE);
  expectContiguous(OP, { beta });
  const one = widened(b, beta);
  return strengths(b, one.broadcast([B, T, H]));
}

/** Head `g` of every group of `size`: a view of x. */
function groupHead(x: Tensor, g: number, size: number): Tensor {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const [strideB, strideT, strideH, strideD] = x.strides as [number, number, number, number];
  return x.slice(2, g, H).restride([B, T, H / size, D], [strideB, strideT, size * strideH, strideD]);
}

/** A call of either engine; beta is the delta engine's. */
type RuleCall = LinearCall & { q: Tensor; k: Tensor; o: Tensor; beta?: Tensor | undefined };

/** Adds one pass over the tokens; `written` takes what the delta rule writes. */
function pass(b: Builder, { beta, ...call }: Omit<RuleCall, 'q' | 'o'> & Partial<RuleCall>, written?: Tensor): void {
  if (!beta) {
    linear(b, call);
    return;
  }
  delta(b, { ...call, beta, written, initial: call.initial?.state, final: call.final.state });
}

/**
 * Adds the calls for query heads that share states, `size` to each: one pass over the tokens for each query head of a group. Those after
 * the first repeat the writes, which are then known also where the delta rule made them. For one token: a write, and a read by the heads
 * of a group together.
 */
function grouped(b: Builder, call: RuleCall, size: number): void {
  const { q, o } = call;
  const [B, T, H, D] = q.shape as [number, number, number, number];
  if (T === 1 && size > 1) {
    pass(b, { ...call, q: undefined, o: undefined });
    // the heads of a group read the state as tokens would
    const asTokens = (x: Tensor, d: number) =>
      x.restride([B, size, H / size, d], [x.strides[0]!, x.strides[2]!, size * x.strides[2]!, x.strides[3]!]);
    const tokens = { q: asTokens(q, D), k: undefined, g: undefined, o: asTokens(o, o.shape[3]!) };
    const v = call.v.restride([B, size, ...call.v.shape.slice(2)], [call.v.strides[0]!, 0, ...call.v.strides.slice(2)]);
    const sequences = sequencesOf(OP, { B, Tq: size, Tk: size }, {});
    readState(b, { ...call, ...tokens, v, sequences, initial: call.final });
    return;
  }
  const written = call.beta && size > 1 ? b.temporary(call.v.shape) : undefined;
  pass(b, { ...call, q: groupHead(q, 0, size), o: groupHead(o, 0, size) }, written);
  if (size === 1) return;
  // the state of the other heads is the same
  const final = { state: b.temporary(call.final.state.shape) };
  const { beta: _, ...rest } = call;
  for (let g = 1; g < size; ++g) {
    linear(b, { ...rest, v: written ?? call.v, q: groupHead(q, g, size), o: groupHead(o, g, size), final });
  }
}

function plan(
  b: Builder,
  inputs: LinearAttentionInputs,
  attributes: LinearAttentionAttributes,
): LinearAttentionOutputs {
  expectNames(OP, 'input', inputs, ['query', 'key', 'value', 'past_state', 'decay', 'beta']);
  expectNames(OP, 'option', attributes, ['q_num_heads', 'kv_num_heads', 'update_rule', 'scale', 'chunk_size']);
  expectTensors(OP, inputs, ['query', 'key', 'value']);
  const { query, key, value, past_state, decay, beta } = inputs;
  const { q_num_heads, kv_num_heads, update_rule = 'gated_delta', chunk_size } = attributes;
  expectRule(update_rule, inputs);
  whole(OP, 'chunk_size', chunk_size, 64, 1);
  matchShapes(OP, { query, key, value }, { query: 'B T Wq', key: 'B T Wk', value: 'B T Wv' });
  const q = splitHeads(OP, 'query', query, 'q_num_heads', q_num_heads);
  const k = splitHeads(OP, 'key', key, 'kv_num_heads', kv_num_heads);
  const v = splitHeads(OP, 'value', value, 'kv_num_heads', kv_num_heads);
  const [B, T, Hq, K] = q.shape as [number, number, number, number];
  const [, , H, V] = v.shape as [number, number, number, number];
  if (k.shape[3] !== K) {
    throw new ShapeError(
      `${OP}: key has shape [${key.shape}], ${H} heads of ${k.shape[3]}; expected heads of ${K}, as query's`,
    );
  }
  if (Hq % H !== 0) {
    throw new OptionError(`${OP}: q_num_heads is ${Hq}, expected a multiple of kv_num_heads, which is ${H}`);
  }
  matchShapes(OP, { past_state }, { past_state: `?${B} ${H} ${K} ${V}` });
  expectTypes(OP, { query }, STORAGE);
  expectTypes(OP, { key, value }, [query.dtype]);
  expectTypes(OP, { past_state }, STORAGE);
  expectContiguous(OP, { query, key, value, past_state });
  const g = decay && gateOf(b, decay, [B, T, H, K]);
  const output = b.output(joinedShape(3, [B, T, Hq, V]), query.dtype);
  const present_state = b.output([B, H, K, V], (past_state ?? query).dtype);
  const o = unrounded(b, output);
  const state = unrounded(b, present_state);
  const scale = finite(OP, 'scale', attributes.scale, 0);
  const call = {
    q,
    k,
    v,
    g,
    beta: beta && strengthsOf(b, beta, [B, T, H, K]),
    scale: scale === 0 ? K ** -0.5 : scale,
    initial: past_state && { state: widened(b, past_state) },
    final: { state },
    o: o.reshape([B, T, Hq, V]),
    sequences: sequencesOf(OP, { B, Tq: T, Tk: T }, {}),
  };
  grouped(b, call, Hq / H);
  round(b, o, output);
  round(b, state, present_state);
  return { output, present_state };
}

/**
 * Linear attention with the state that streaming needs, by four update rules: S_t = S*_t + key_t value_t (linear, gated) or
 * S*_t + key_t beta_t (value_t - key_t S*_t) (delta, gated_delta), where S*_t = e^decay_t S_{t-1}, and S_{t-1} in the rules that are not
 * gated; output_t = scale query_t S_t.
 *
 * Source: ONNX LinearAttention-27.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or attributes that do not fit.
 * @example
 * const heads = { q_num_heads: 8, kv_num_heads: 8 }
 * const { output, present_state } = await LinearAttention({ query, key, value, decay, beta }, heads)
 */
export function LinearAttention(
  inputs: LinearAttentionInputs,
  attributes: LinearAttentionAttributes,
): Promise<LinearAttentionOutputs> {
  return run(OP, inputs, (b) => plan(b, inputs, attributes));
}

/** As `LinearAttention`, to the end before it returns. */
export function LinearAttentionSync(
  inputs: LinearAttentionInputs,
  attributes: LinearAttentionAttributes,
): LinearAttentionOutputs {
  return runSync(OP, inputs, (b) => plan(b, inputs, attributes));
}
