/**
 * Tokens chosen by how well signatures of a few bits agree.
 *
 * @module
 */
import { selectTopK } from '../engines/select/choose.ts';
import { hammingScores, type SignatureNet, signatures } from '../engines/select/hamming.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import {
  attendChoice,
  type ChosenTokenInputs,
  type ChosenTokenResult,
  type OpenChoice,
  openChoice,
  SINKS,
  type SinkOptions,
} from './chosen-tokens.ts';

/** Operands of `hashAttention`. */
export interface HashAttentionInputs extends ChosenTokenInputs {
  /** i32 [B, Hq, Tq]: signatures of the queries, as `hashSignatures` makes them. */
  readonly qBits: Tensor;
  /** i32 [B, Hkv, Tk]: those of the keys. */
  readonly kBits: Tensor;
}

/** Operands of `hashSignatures`. */
export interface HashSignaturesInputs {
  /** `[B, T, H, D]`: queries or keys; f32, f16 or bf16. */
  readonly x: Tensor;
  /** f32 [H or 1, N, bits], contiguous: bit j is whether a row times plane j is above 0, at most 32; N is D, or that of w. */
  readonly planes: Tensor;
  /** f32 [H, D, N], contiguous: a hidden layer silu(x w + bias) before the planes. */
  readonly w?: Tensor;
  /** f32 [H, N], contiguous; goes with w. */
  readonly bias?: Tensor;
}

/** Results of `hashSignatures`. */
export interface HashSignaturesResult {
  /** i32 [B, H, T] */
  readonly bits: Tensor;
}

const OP = 'hashAttention';
const SIGNATURES = 'hashSignatures';

/** @throws ShapeError, DTypeError, OptionError if they make no signatures of rows of so many heads. */
export function expectNet(op: string, { planes, w, bias }: SignatureNet, heads: number, d: number): void {
  const { N, bits } = matchShapes(
    op,
    { w, planes, bias },
    { w: `?${heads} ${d} N`, planes: `${heads}|1 ${w ? 'N' : d} bits`, bias: `?${heads} N` },
  ) as { N: number; bits: number };
  expectTypes(op, { planes, w, bias }, ['f32']);
  expectContiguous(op, { planes, w, bias });
  if (bits < 1 || bits > 32 || (w && N < 1)) {
    throw new ShapeError(`${op}: planes has shape [${planes.shape}], expected 1 to 32 planes of at least one number`);
  }
  if (bias && !w) throw new OptionError(`${op}: bias was given alone; it goes with w`);
}

/** Lays out signatures. */
export function planHashSignatures(
  b: Builder,
  inputs: HashSignaturesInputs,
  options: object = {},
): HashSignaturesResult {
  expectNames(SIGNATURES, 'input', inputs, ['x', 'planes', 'w', 'bias']);
  expectNames(SIGNATURES, 'option', options, []);
  const { x, ...net } = inputs;
  const { H, D } = matchShapes(SIGNATURES, { x }, { x: 'B T H D' }) as { H: number; D: number };
  expectTypes(SIGNATURES, { x }, ['f32', 'f16', 'bf16']);
  expectRows(SIGNATURES, { x });
  expectNet(SIGNATURES, net, H, D);
  return { bits: b.keep(signatures(b, x, net)) };
}

/** Adds attention on the tokens whose signatures i32 [B, Hkv, Tk] agree best with those of the queries [B, Hq, Tq]. */
export function attendHashes(
  b: Builder,
  open: OpenChoice,
  qBits: Tensor,
  kBits: Tensor,
  bits: number,
): ChosenTokenResult {
  const { visible, topk, sinks, recent } = open;
  const map = hammingScores(b, qBits, kBits, bits, visible);
  const chosen = selectTopK(b, map, { k: topk, first: sinks, last: recent, forced: 'added', visible });
  return attendChoice(b, open, chosen, topk + sinks + recent);
}

/** Lays out the call. */
export function planHashAttention(
  b: Builder,
  inputs: HashAttentionInputs,
  options: SinkOptions & { readonly bits?: number },
): ChosenTokenResult {
  const open = openChoice(b, OP, inputs, options, { inputs: ['qBits', 'kBits'], options: [...SINKS, 'bits'] });
  const { q, k, v } = open.call;
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  const [B, Tq, Hq] = q.shape as [number, number, number];
  const { qBits, kBits } = inputs;
  matchShapes(OP, { qBits, kBits }, { qBits: `${B} ${Hq} ${Tq}`, kBits: `${B} ${k.shape[2]} ${k.shape[1]}` });
  expectTypes(OP, { qBits, kBits }, ['i32']);
  expectRows(OP, { kBits });
  return attendHashes(b, open, qBits, kBits, whole(OP, 'bits', options.bits, 32, 1, 32));
}

/**
 * Causal attention in which every query and head takes the topk tokens whose signatures agree with its own in most bits, the earlier of
 * equals, with the first `sinks` and the last `recent`. Scores are bits - 2 * hamming distance. Queries are aligned with the last keys. A
 * step reads four bytes of each token, and the chosen tokens.
 *
 * Source: HashAttention (Desai 2024); reference implementation xAlg-ai/HashAttention-1.0, whose signatures are those of learned networks.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { bits: qBits } = await hashSignatures({ x: q, planes: qPlanes })
 * const { bits: kBits } = await hashSignatures({ x: k, planes: kPlanes })
 * const { o } = await hashAttention({ q, k, v, qBits, kBits }, { topk: 128, sinks: 4, recent: 64 })
 */
export function hashAttention(
  inputs: HashAttentionInputs,
  options: SinkOptions & { readonly bits?: number },
): Promise<ChosenTokenResult> {
  return run(OP, inputs, (b) => planHashAttention(b, inputs, options));
}

/** As `hashAttention`, to the end before it returns. */
export function hashAttentionSync(
  inputs: HashAttentionInputs,
  options: SinkOptions & { readonly bits?: number },
): ChosenTokenResult {
  return runSync(OP, inputs, (b) => planHashAttention(b, inputs, options));
}

/**
 * Signatures of rows: bit j says whether x times plane j is above 0, or silu(x w + bias) times it.
 *
 * Shapes: x [B, T, H, D], planes f32 [H or 1, N, bits], w f32 [H, D, N], bias f32 [H, N]; bits i32 [B, H, T].
 *
 * Source: HashAttention (Desai 2024); random planes are those of SimHash (Charikar 2002).
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example const { bits } = await hashSignatures({ x: k, planes })
 */
export function hashSignatures(inputs: HashSignaturesInputs): Promise<HashSignaturesResult> {
  return run(SIGNATURES, inputs, (b) => planHashSignatures(b, inputs));
}

/** As `hashSignatures`, to the end before it returns. */
export function hashSignaturesSync(inputs: HashSignaturesInputs): HashSignaturesResult {
  return runSync(SIGNATURES, inputs, (b) => planHashSignatures(b, inputs));
}
