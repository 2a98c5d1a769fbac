/**
 * Sparse-linear attention.
 *
 * @module
 */
import { linearOverAll, linearOverRest } from '../engines/block-linear.ts';
import { asFloats } from '../engines/copy.ts';
import { pointwise, softmax } from '../engines/features.ts';
import { flashAttend } from '../engines/flash.ts';
import { gemm, gemmPack, packedSize } from '../engines/gemm.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { expectContiguous, expectNames, expectTypes, finite, flag, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';

/** Operands of `sla`. */
export interface SlaInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
  /** f32 [Dv, Dv]: the projection of the linear part, outputs by inputs as in a linear layer. Default: none. */
  readonly proj?: Tensor;
  /** f32 [Dv]: its bias. */
  readonly projBias?: Tensor;
}

/** Options of `sla`. */
export interface SlaOptions {
  /** Share of the key blocks that each query block and head chooses, from 0 to 1: floor(topk * blocks). Default 0.5. */
  readonly topk?: number;
  /** Queries of a block. Default 64. */
  readonly blockQ?: number;
  /** Keys of a block. Default 64. */
  readonly blockK?: number;
  /** Features of the linear part: softmax over a row, elu + 1 or relu. Default 'softmax'. */
  readonly featureMap?: 'softmax' | 'elu' | 'relu';
  /** Keys of the linear part: those of the blocks that were not chosen ('rest', the paper), or all of them. Default 'rest'. */
  readonly linear?: 'rest' | 'all';
  /** Factor on q k of the softmax. Default D^-1/2. */
  readonly scale?: number;
  /** Added to the denominators of the linear part. Default 1e-5. */
  readonly eps?: number;
  /** Whether the chosen blocks are a result too. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `sla`. */
export interface SlaResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** i32 [B, Hq, query blocks, ceil(key blocks / 32)]: bit c (word c >> 5, bit c & 31) is key block c; with `returnSelection`. */
  readonly selection?: Tensor;
}

const OP = 'sla';
const FEATURES = ['softmax', 'elu', 'relu'] as const;
const SCOPES = ['rest', 'all'] as const;

/** One of some names. @throws OptionError if it is none of them. */
function oneOf<Name extends string>(name: string, value: unknown, names: readonly Name[]): Name {
  if (!names.includes(value as Name)) {
    throw new OptionError(`${OP}: ${name} is ${JSON.stringify(value)}, expected ${names.join(' or ')}`);
  }
  return value as Name;
}

function featuresOf(b: Builder, x: Tensor, map: (typeof FEATURES)[number]): Tensor {
  const rows = asFloats(b, x);
  return map === 'softmax' ? softmax(b, rows) : pointwise(b, map === 'elu' ? 'elu1' : 'relu', rows);
}

/** Adds o = x W^T + bias for rows of x and o, contiguous. */
function project(b: Builder, x: Tensor, weight: Tensor, bias: Tensor | undefined, o: Tensor): void {
  const d = weight.shape[0]!;
  const pack = b.temporary([packedSize(d, d)]);
  gemmPack(b, weight, true, pack.address);
  gemm(b, {
    a: x.address,
    aStride: d,
    bPack: pack.address,
    o: o.address,
    oStride: d,
    bias: bias?.address ?? 0,
    m: x.size / d,
    k: d,
    n: d,
    activation: 'none',
  });
}

/** Lays out the call. */
export function planSla(b: Builder, inputs: SlaInputs, options: SlaOptions): SlaResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'proj', 'projBias']);
  const names = ['topk', 'blockQ', 'blockK', 'featureMap', 'linear', 'scale', 'eps', 'returnSelection'];
  expectNames(OP, 'option', options, names);
  const { proj, projBias, ...rest } = inputs;
  const call = attentionCall(b, OP, rest, { scale: options.scale });
  b.drop(call.lse);
  const { q, k, v, o } = call;
  const dv = v.shape[3]!;
  matchShapes(OP, { proj, projBias }, { proj: `?${dv} ${dv}`, projBias: `?${dv}` });
  expectTypes(OP, { proj, projBias }, ['f32']);
  expectContiguous(OP, { proj, projBias });
  if (projBias && !proj) throw new OptionError(`${OP}: projBias was given without proj, whose bias it is`);
  const share = finite(OP, 'topk', options.topk, 0.5, 0, 1);
  const blockQ = whole(OP, 'blockQ', options.blockQ, 64, 1);
  const blockK = whole(OP, 'blockK', options.blockK, 64, 1);
  const featureMap = oneOf('featureMap', options.featureMap ?? 'softmax', FEATURES);
  const scope = oneOf('linear', options.linear ?? 'rest', SCOPES);
  const epsilon = finite(OP, 'eps', options.eps, 1e-5, 0);
  const keep = flag(OP, 'returnSelection', options.returnSelection);

  const map = scoreMap(b, { q: poolBlocks(b, q, blockQ, 'mean'), k: poolBlocks(b, k, blockK, 'mean'), scale: 1 });
  const columns = map.shape[3]!;
  const count = Math.floor(share * columns);
  const bits = selectTopK(b, map, { k: count });
  const linear = proj ? b.temporary(o.shape) : o;
  const features = { q: featuresOf(b, q, featureMap), k: featuresOf(b, k, featureMap), v, o: linear, epsilon };
  if (scope === 'all') linearOverAll(b, features);
  else linearOverRest(b, features, bits, blockQ, blockK);
  if (proj) project(b, linear, proj, projBias, o);
  const density = columns === 0 ? 0 : count / columns;
  const selection = { bits, queryBlock: blockQ, keyBlock: blockK, density };
  flashAttend(b, { ...call, lse: undefined, accumulate: true }, { selection });
  return { o, ...(keep && { selection: b.keep(bits) }) };
}

/**
 * Attention in two parts: a softmax over the key blocks that a query block chooses by the product of mean queries and mean keys, and
 * linear attention by features over the blocks that it leaves, or over all, through a projection: o = o_s + proj(o_l).
 *
 * The keys' common mean, which the reference subtracts first, adds the same to all scores of a query block and so changes no choice.
 *
 * Source: SLA (Zhang 2025); reference implementation thu-ml/SLA, whose main branch has linear: 'all'.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await sla({ q, k, v, proj, projBias }, { topk: 0.1 })
 */
export function sla(inputs: SlaInputs, options: SlaOptions = {}): Promise<SlaResult> {
  return run(OP, inputs, (b) => planSla(b, inputs, options));
}

/** As `sla`, to the end before it returns. */
export function slaSync(inputs: SlaInputs, options: SlaOptions = {}): SlaResult {
  return runSync(OP, inputs, (b) => planSla(b, inputs, options));
}
