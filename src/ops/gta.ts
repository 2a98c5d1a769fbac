/**
 * Attention with keys and values tied.
 *
 * @module
 */
import { expectOperands } from '../engines/pattern-call.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectNames, expectRows, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, type AttentionResult, attend, windowOf } from './attention.ts';

/** Operands of `gta`; f32, f16 or bf16. */
export interface GtaInputs {
  /** `[B, Tq, Hq, D]`: D - R elements as they are, then R rotated ones. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv: values; their first D - R elements are those of keys too. */
  readonly kv: Tensor;
  /** [B, Tk, R], rotated, of the type of kv: the last elements of the keys of all heads. */
  readonly kRope: Tensor;
  /** i32 [B], as in `attention`. */
  readonly kvLens?: Tensor;
}

/** Options of `gta`. The scale defaults to D^-1/2. */
export type GtaOptions = Omit<AttentionOptions, 'blockMask'>;

const OP = 'gta';

/** Lays out the call: keys are in two pieces, of which the first are the values' own. */
export function planGta(b: Builder, inputs: GtaInputs, options: GtaOptions): AttentionResult {
  expectNames(OP, 'input', inputs, ['q', 'kv', 'kRope', 'kvLens']);
  expectNames(OP, 'option', options, ['causal', 'window', 'scale', 'softcap']);
  const sizes = matchShapes<keyof GtaInputs>(
    OP,
    { ...inputs },
    { q: 'B Tq Hq D', kv: 'B Tk Hkv D', kRope: 'B Tk R', kvLens: '?B' },
  ) as Record<'B' | 'Tq' | 'Tk' | 'Hq' | 'Hkv' | 'D' | 'R', number>;
  const { q, kv, kRope, kvLens } = inputs;
  const { B, Tq, Tk, Hq, D, R } = sizes;
  expectOperands(OP, { q, k: kv, v: kv }, { ...sizes, Dv: D });
  expectTypes(OP, { kRope }, [kv.dtype]);
  expectRows(OP, { kRope });
  if (R > D) throw new ShapeError(`${OP}: kRope has ${R} elements a token, expected at most D = ${D}`);
  const [o, lse] = [b.output([B, Tq, Hq, D]), b.output([B, Tq, Hq])];
  attend(b, {
    q,
    k: kv.slice(3, 0, D - R),
    kRest: kRope,
    v: kv,
    o,
    lse,
    sequences: sequencesOf(OP, { B, Tq, Tk }, { kvLens }),
    scale: finite(OP, 'scale', options.scale, D ** -0.5),
    softcap: finite(OP, 'softcap', options.softcap, 0, 0),
    window: windowOf(OP, options),
  });
  b.note(() => `keys are ${D - R} elements of the values and ${R} that all heads share; neither is copied`);
  return { o, lse };
}

/**
 * Grouped-tied attention: one row of a head is its value, and its first elements are its key, with a rotated part behind them that all heads
 * share: k_h = [kv_h[: D - R], kRope], v_h = kv_h. The cache is kv and kRope, Hkv D + R numbers a token, read where they lie.
 *
 * Shapes: q [B, Tq, Hq, D], kv [B, Tk, Hkv, D], kRope [B, Tk, R] -> o [B, Tq, Hq, D], lse [B, Tq, Hq].
 *
 * Source: Hardware-Efficient Attention for Fast Decoding (Zadouri 2025); reference implementation Dao-AILab/grouped-latent-attention.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await gta({ q, kv, kRope }, { causal: true })
 */
export function gta(inputs: GtaInputs, options: GtaOptions = {}): Promise<AttentionResult> {
  return run(OP, inputs, (b) => planGta(b, inputs, options));
}

/** As `gta`, to the end before it returns. */
export function gtaSync(inputs: GtaInputs, options: GtaOptions = {}): AttentionResult {
  return runSync(OP, inputs, (b) => planGta(b, inputs, options));
}
