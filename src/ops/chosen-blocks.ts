/**
 * What the methods share that choose blocks of keys from the scores themselves.
 *
 * @module
 */
import type { AttentionCall } from '../engines/attention-call.ts';
import { flashAttend } from '../engines/flash.ts';
import { finite } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of attention over chosen blocks. */
export interface ChosenInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv]; f32, f16 or bf16. */
  readonly v: Tensor;
}

/** Options of attention over chosen blocks. */
export interface ChosenOptions {
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether the result holds what was chosen. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of attention over chosen blocks. */
export interface ChosenResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq]: natural log of the row's denominator over the chosen keys. */
  readonly lse: Tensor;
  /** i32 [B, Hq, blocks of queries, words], with `returnSelection`: bit j & 31 of word j >> 5 shows key block j. */
  readonly selection?: Tensor;
}

/** Adds attention over the key blocks whose bits are set. */
export function attendChosen(
  b: Builder,
  call: AttentionCall & { readonly lse: Tensor },
  bits: Tensor,
  { queryBlock, keyBlock, skipBelow }: { queryBlock: number; keyBlock: number; skipBelow?: number | undefined },
  { returnSelection = false }: ChosenOptions,
): ChosenResult {
  const empty = bits.size === 0;
  flashAttend(b, call, { ...(!empty && { selection: { bits, queryBlock, keyBlock } }), skipBelow });
  return { o: call.o, lse: call.lse, ...(returnSelection && { selection: b.keep(bits) }) };
}

/** One number a head, from a number for all or from a list. @throws OptionError if they are not that many or not in [low, high]. */
export function perHead(
  op: string,
  name: string,
  value: number | readonly number[] | undefined,
  heads: number,
  fallback: number,
  low: number,
  high: number,
): number[] {
  if (!Array.isArray(value)) {
    return new Array<number>(heads).fill(finite(op, name, value as number | undefined, fallback, low, high));
  }
  if (value.length !== heads) {
    throw new OptionError(`${op}: ${name} has ${value.length} numbers, expected one for each of ${heads} query heads`);
  }
  return value.map((x, h) => finite(op, `${name}[${h}]`, x ?? Number.NaN, fallback, low, high));
}

/** A tensor [1, H, 1] of one number a head, for rows of maps [B, H, R, C]. */
export function headTensor(b: Builder, values: readonly number[], dtype: 'f32' | 'i32'): Tensor {
  const tensor = b.temporary([1, values.length, 1], dtype);
  tensor.write(values);
  return tensor;
}
