/**
 * Heads that tokens choose.
 *
 * @module
 */
import { byHead, projectByHead, type Slots, slotsOf } from '../engines/expert-heads.ts';
import { expectOperands, wholeSequences } from '../engines/pattern-call.ts';
import { combineRows, gatherRows } from '../engines/routing.ts';
import { expectContiguous, expectNames, expectTypes, finite, flag, integers, matchShapes } from '../engines/shapes.ts';
import { gatherTokens, tokenOrder } from '../engines/token-order.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attend } from './attention.ts';

/** Operands of `mixtureOfHeads`: the queries of all heads, or tokens and the heads' projections. */
export interface MixtureOfHeadsInputs {
  /** `[B, T, E, D]`: queries of all E heads; only those that are chosen are read. */
  readonly q?: Tensor;
  /** f32 [B, T, M] and [E, M, D], in place of q: queries are x wq[e] for the heads e that a token chooses. */
  readonly x?: Tensor;
  readonly wq?: Tensor;
  /** [B, Tk, D] and [B, Tk, Dv]: keys and values that all heads share. */
  readonly k: Tensor;
  readonly v: Tensor;
  /** f32 [E, Dv, N]: each head's projection of its result. Default: results are added as they are. */
  readonly wo?: Tensor;
  /** f32 [B, T, E]: weights of the heads, 0 where a token does not choose one; or [B, T, k] with `indices`. */
  readonly weights: Tensor;
  /** i32 [B, T, k]: the heads of a token. */
  readonly indices?: Tensor;
}

/** Options of `mixtureOfHeads`. */
export interface MixtureOfHeadsOptions {
  /** Only keys up to the query's own; with T queries and Tk keys aligned at the end. Default false. */
  readonly causal?: boolean;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

const OP = 'mixtureOfHeads';

/** The weights by slot. @throws ShapeError if a head does not exist. */
function slots({ weights, indices }: MixtureOfHeadsInputs, experts: number, tokens: number): Slots {
  const heads = indices && integers(OP, 'indices', indices);
  const wrong = heads?.find((head) => head < 0 || head >= experts);
  if (wrong !== undefined) {
    throw new ShapeError(`${OP}: indices holds ${wrong}, expected 0 to ${experts - 1}: there are ${experts} heads`);
  }
  return slotsOf(weights.dataSync() as Float32Array, heads, tokens);
}

/** Lays out the call: every token's chosen heads are the heads of a multi-query attention. */
export function planMixtureOfHeads(
  b: Builder,
  inputs: MixtureOfHeadsInputs,
  options: MixtureOfHeadsOptions,
): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q', 'x', 'wq', 'k', 'v', 'wo', 'weights', 'indices']);
  expectNames(OP, 'option', options, ['causal', 'scale']);
  const { q, x, wq, k, v, wo, weights, indices } = inputs;
  if ((q === undefined) === (x === undefined) || (x === undefined) !== (wq === undefined)) {
    const given = Object.keys({ ...(q && { q }), ...(x && { x }), ...(wq && { wq }) }).join(' and ') || 'nothing';
    throw new OptionError(`${OP}: ${given} was given for the queries, expected q, or x and wq`);
  }
  const sizes = matchShapes<keyof MixtureOfHeadsInputs>(
    OP,
    { ...inputs },
    {
      q: '?B T E D',
      x: '?B T M',
      wq: '?E M D',
      k: 'B Tk D',
      v: 'B Tk Dv',
      wo: '?E Dv N',
      weights: `B T ${indices ? 'C' : 'E'}`,
      indices: '?B T C',
    },
  ) as Record<'B' | 'T' | 'Tk' | 'E' | 'D' | 'Dv' | 'N', number>;
  const { B, T, Tk, E, D, Dv, N = Dv } = sizes;
  expectTypes(OP, { x, wq, wo, weights }, ['f32']);
  expectContiguous(OP, { x, wq, wo });
  const oneHead = (rows: Tensor) =>
    rows.restride([B, Tk, 1, rows.shape[2]!], [rows.strides[0]!, rows.strides[1]!, 0, rows.strides[2]!]);
  expectOperands(OP, { q: q ?? x!, k, v }, { Hq: 1, Hkv: 1, D, Dv });
  const causal = flag(OP, 'causal', options.causal);
  const scale = finite(OP, 'scale', options.scale, D ** -0.5);
  const o = b.output([B, T, N]);
  const routed = slots(inputs, E, B * T);
  const { count } = routed;
  const { order, offsets } = byHead(routed, E);
  const output = o.reshape([B, T, 1, N]);
  // filled slots by head, and the place of each among them
  const place = new Int32Array(routed.heads.length);
  for (const [row, slot] of order.entries()) place[slot] = row;
  if (order.length > 0) {
    const queries = x
      ? slotQueries(b, projectByHead(b, tokenRows(b, x, order, count), offsets, wq!), place)
      : chosenQueries(b, q!, routed);
    const heads = b.temporary([B, T, count, Dv]);
    attend(b, {
      q: queries.reshape([B, T, count, D]),
      k: oneHead(k),
      v: oneHead(v),
      o: heads,
      sequences: wholeSequences(B, T).map((s) => ({ ...s, kLength: Tk, offset: Tk - T })),
      scale,
      softcap: 0,
      window: [-1, causal ? 0 : -1],
    });
    const rows = heads.reshape([1, B * T * count, 1, Dv]);
    const results = wo ? projectByHead(b, gatherTokens(b, rows, tokenOrder(b, order)), offsets, wo) : rows;
    combineRows(b, results, weighted(routed, B * T, wo ? place : undefined), output);
  } else {
    combineRows(b, b.temporary([1, 1, 1, N]), weighted(routed, B * T, undefined), output);
  }
  b.note(() => `${order.length} of ${B * T * E} pairs of a token and a head are computed, in ${count} slots a token`);
  return { o };
}

/** Rows [1, n, 1, M] of x [B, T, M] for slots in an order. */
function tokenRows(b: Builder, x: Tensor, order: Int32Array, count: number): Tensor {
  const [batch, length, m] = x.shape as [number, number, number];
  const tokens = order.map((slot) => Math.floor(slot / count));
  return gatherTokens(b, x.reshape([batch, length, 1, m]), tokenOrder(b, tokens));
}

/** Queries of all slots from rows of the filled ones; what is in the others is never used. */
function slotQueries(b: Builder, rows: Tensor, place: Int32Array): Tensor {
  return gatherTokens(b, rows, tokenOrder(b, place));
}

/** Queries of all slots from those of all heads q [B, T, E, D]. */
function chosenQueries(b: Builder, q: Tensor, { heads, count }: Slots): Tensor {
  const rows = new Int32Array(2 * heads.length);
  for (const [slot, head] of heads.entries()) {
    rows[2 * slot] = Math.floor(slot / count);
    rows[2 * slot + 1] = Math.max(0, head);
  }
  const [batch, length, experts, d] = q.shape as [number, number, number, number];
  const [strideB, strideT, strideH, step] = q.strides as [number, number, number, number];
  const each = q.restride([batch, length, experts, 1, d], [strideB, strideT, strideH, 0, step]);
  return gatherRows(b, each, true, b.table(rows), heads.length);
}

/** Entries of `combine`: the filled slots of each token, or their places among rows by head, with their weights. */
function weighted({ heads, weights, count }: Slots, tokens: number, place: Int32Array | undefined) {
  const offsets = new Int32Array(tokens + 1);
  const entries: number[] = [];
  const shares = new Float32Array(1);
  const bits = new Int32Array(shares.buffer);
  for (let t = 0; t < tokens; ++t) {
    for (let slot = t * count; slot < (t + 1) * count; ++slot) {
      if (heads[slot]! < 0) continue;
      shares[0] = weights[slot]!;
      entries.push(place ? place[slot]! : slot, bits[0]!);
    }
    offsets[t + 1] = entries.length / 2;
  }
  return { offsets, entries: Int32Array.from(entries) };
}

/**
 * Mixture of attention heads: o_t = sum_e weights_t[e] Attn(x_t wq[e], k, v) wo[e] over the heads that token t chooses. All heads share keys
 * and values, so that the chosen heads of all tokens are one multi-query attention.
 *
 * Shapes: q [B, T, E, D] or x [B, T, M] and wq [E, M, D], k [B, Tk, D], v [B, Tk, Dv], wo [E, Dv, N], weights [B, T, E] -> o [B, T, N].
 *
 * Source: Mixture of attention heads (Zhang 2022); reference implementation yikangshen/MoA. Weights are used as they are given.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await mixtureOfHeads({ x, wq, k, v, wo, weights, indices }, { causal: true })
 */
export function mixtureOfHeads(
  inputs: MixtureOfHeadsInputs,
  options: MixtureOfHeadsOptions = {},
): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planMixtureOfHeads(b, inputs, options));
}

/** As `mixtureOfHeads`, to the end before it returns. */
export function mixtureOfHeadsSync(inputs: MixtureOfHeadsInputs, options: MixtureOfHeadsOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planMixtureOfHeads(b, inputs, options));
}
