/**
 * Tensor product attention.
 *
 * @module
 */
import { MOST_DIM } from '../engines/attention-call.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectNames, expectRows, expectTypes, finite, flag, matchShapes } from '../engines/shapes.ts';
import { expandFactors, type Factors, tensorProductAttend } from '../engines/tensor-product.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, type AttentionResult, attend, windowOf } from './attention.ts';

/** Operands of `tpa`; f32, f16 or bf16, any strides with a contiguous last axis. */
export interface TpaInputs {
  /** [B, Tq, Rq, H] and [B, Tq, Rq, D], the latter rotated: queries are 1/Rq sum_r aQ_r[h] bQ_r. */
  readonly aQ?: Tensor;
  readonly bQ?: Tensor;
  /** [B, Tq, H, D], in place of their factors. */
  readonly q?: Tensor;
  /** [B, Tk, Rk, H] and [B, Tk, Rk, D], the latter rotated: keys are 1/Rk sum_r aK_r[h] bK_r. */
  readonly aK: Tensor;
  readonly bK: Tensor;
  /** [B, Tk, Rv, H] and [B, Tk, Rv, Dv]: values are 1/Rv sum_r aV_r[h] bV_r. */
  readonly aV: Tensor;
  readonly bV: Tensor;
  /** i32 [B], as in `attention`. */
  readonly kvLens?: Tensor;
}

/** Options of `tpa`. The scale defaults to D^-1/2. */
export interface TpaOptions extends Omit<AttentionOptions, 'blockMask'> {
  /**
   * true: attend on the factors, of at most 16 queries; false: make queries, keys and values first. Default: whichever takes fewer
   * operations.
   */
  readonly contract?: boolean;
}

const OP = 'tpa';
/** Queries, and queries times heads, whose sums one thread keeps at hand. */
const MOST_QUERIES = 16;
const MOST_ROWS = 1024;

/** Lays out the call. */
export function planTpa(b: Builder, inputs: TpaInputs, options: TpaOptions): AttentionResult {
  expectNames(OP, 'input', inputs, ['q', 'aQ', 'bQ', 'aK', 'bK', 'aV', 'bV', 'kvLens']);
  expectNames(OP, 'option', options, ['causal', 'window', 'scale', 'softcap', 'contract']);
  const { q, aQ, bQ, aK, bK, aV, bV, kvLens } = inputs;
  if ((aQ === undefined) !== (bQ === undefined) || (q === undefined) === (aQ === undefined)) {
    const given = Object.entries({ q, aQ, bQ }).filter(([, tensor]) => tensor);
    throw new OptionError(
      `${OP}: ${given.map(([name]) => name).join(' and ') || 'nothing'} was given for the queries, expected aQ and bQ, or q`,
    );
  }
  const sizes = matchShapes<keyof TpaInputs>(
    OP,
    { ...inputs },
    {
      q: '?B Tq H D',
      aQ: '?B Tq Rq H',
      bQ: '?B Tq Rq D',
      aK: 'B Tk Rk H',
      bK: 'B Tk Rk D',
      aV: 'B Tk Rv H',
      bV: 'B Tk Rv Dv',
      kvLens: '?B',
    },
  ) as Record<'B' | 'Tq' | 'Tk' | 'H' | 'D' | 'Dv' | 'Rk' | 'Rv', number> & { Rq?: number };
  const { B, Tq, Tk, H, D, Dv, Rk, Rv, Rq } = sizes;
  expectTypes(OP, { q, aQ, bQ, aK, bK, aV, bV }, ['f32', 'f16', 'bf16']);
  expectRows(OP, { q, aQ, bQ, aK, bK, aV, bV });
  if (D < 1 || D > MOST_DIM || Dv < 1 || Dv > MOST_DIM || H < 1 || H > MOST_DIM) {
    throw new ShapeError(`${OP}: H is ${H}, D ${D} and Dv ${Dv}, expected 1 to ${MOST_DIM}`);
  }
  if (Rq === 0 || Rk < 1 || Rv < 1) {
    throw new ShapeError(
      `${OP}: the ranks are ${Rq === undefined ? '' : `${Rq}, `}${Rk} and ${Rv}, expected at least 1`,
    );
  }
  const common = {
    sequences: sequencesOf(OP, { B, Tq, Tk }, { kvLens }),
    scale: finite(OP, 'scale', options.scale, D ** -0.5),
    softcap: finite(OP, 'softcap', options.softcap, 0, 0),
    window: windowOf(OP, options),
  };
  const fits = Tq <= MOST_QUERIES && Tq * H <= MOST_ROWS;
  const asked = options.contract === undefined ? undefined : flag(OP, 'contract', options.contract);
  if (asked && !fits) {
    throw new OptionError(
      `${OP}: contract is for at most ${MOST_QUERIES} queries and ${MOST_ROWS} rows of all heads; there are ${Tq} and ${Tq * H}. ` +
        'Leave contract out.',
    );
  }
  const onFactors = Tq * Tk * (((Rq ?? H) * Rk * D) / H + (Rq ?? 0) * Rk + Rv * Dv);
  const onHeads = Tq * Tk * (D + Dv) + Tk * (Rk * D + Rv * Dv);
  const contract = asked ?? (fits && onFactors <= onHeads);
  const [o, lse] = [b.output([B, Tq, H, Dv]), b.output([B, Tq, H])];
  const [kFactors, vFactors] = [
    { a: aK, b: bK },
    { a: aV, b: bV },
  ];
  if (contract) {
    tensorProductAttend(b, { ...common, q: q ?? { a: aQ!, b: bQ! }, k: kFactors, v: vFactors, o, lse });
    b.note(() => `contracted: attention on factors of ranks ${Rq ?? 'H'}, ${Rk} and ${Rv}; no key or value is made`);
  } else {
    const made = (factors: Factors, length: number, d: number) => {
      const rows = b.temporary([B, length, H, d]);
      expandFactors(b, factors, rows);
      return rows;
    };
    const queries = q ?? made({ a: aQ!, b: bQ! }, Tq, D);
    attend(b, { ...common, q: queries, k: made(kFactors, Tk, D), v: made(vFactors, Tk, Dv), o, lse });
    b.note(
      () => `materialised: queries, keys and values of ${H} heads from factors of ranks ${Rq ?? 'H'}, ${Rk} and ${Rv}`,
    );
  }
  return { o, lse };
}

/**
 * Tensor product attention: queries, keys and values of all heads are sums of few outer products of a vector over heads and one over channels,
 * and the cache holds the factors of keys and values: Rk (H + D) + Rv (H + Dv) numbers a token. For few queries attention runs on the
 * factors themselves; for many they are multiplied out first.
 *
 * Shapes: aQ [B, Tq, Rq, H], bQ [B, Tq, Rq, D], aK [B, Tk, Rk, H], bK [B, Tk, Rk, D], aV [B, Tk, Rv, H], bV [B, Tk, Rv, Dv] ->
 * o [B, Tq, H, Dv], lse [B, Tq, H].
 *
 * Source: Tensor Product Attention Is All You Need (Zhang 2025); reference implementation tensorgi/TPA. Rotary embeddings go on bQ and bK.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await tpa({ aQ, bQ, aK, bK, aV, bV }, { causal: true })
 */
export function tpa(inputs: TpaInputs, options: TpaOptions = {}): Promise<AttentionResult> {
  return run(OP, inputs, (b) => planTpa(b, inputs, options));
}

/** As `tpa`, to the end before it returns. */
export function tpaSync(inputs: TpaInputs, options: TpaOptions = {}): AttentionResult {
  return runSync(OP, inputs, (b) => planTpa(b, inputs, options));
}
