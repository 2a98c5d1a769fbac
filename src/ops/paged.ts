/**
 * Attention over a paged key-value cache.
 *
 * @module
 */
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  integers,
  matchShapes,
} from '../engines/shapes.ts';
import { DTypeError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, type AttentionResult, attend, windowOf } from './attention.ts';

/** Operands of `pagedAttention`. */
export interface PagedAttentionInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [pages, pageSize, Hkv, D]; f32, f16, bf16, or i8 with kScale. */
  readonly kCache: Tensor;
  /** [pages, pageSize, Hkv, Dv]; likewise. */
  readonly vCache: Tensor;
  /** i32 [B, maxPages]: page of each span of pageSize tokens. */
  readonly blockTable: Tensor;
  /** i32 [B]: tokens in the cache, the queries' own included. */
  readonly seqLens: Tensor;
  /** f32 [pages, pageSize, Hkv], for i8. */
  readonly kScale?: Tensor;
  readonly vScale?: Tensor;
  /** f32 [Hq], as in `attention`. */
  readonly alibiSlopes?: Tensor;
  readonly sinks?: Tensor;
}

/** Options of `pagedAttention`; causal is bottom-right within each length, and the default for more than one query. */
export type PagedAttentionOptions = Omit<AttentionOptions, 'blockMask'>;

const OP = 'pagedAttention';
const INPUTS = ['q', 'kCache', 'vCache', 'blockTable', 'seqLens', 'kScale', 'vScale', 'alibiSlopes', 'sinks'];

/** @throws ShapeError if sequences are longer than their pages, or their pages are none of `pages`. */
export function expectPages(
  op: string,
  blockTable: Tensor,
  lengths: Int32Array,
  maxPages: number,
  pageSize: number,
  pages: number,
): void {
  const table = integers(op, 'blockTable', blockTable);
  lengths.forEach((length, batch) => {
    if (length < 0 || length > maxPages * pageSize) {
      throw new ShapeError(
        `${op}: seqLens[${batch}] is ${length}, expected 0 to maxPages * pageSize = ${maxPages * pageSize}`,
      );
    }
    for (let i = 0; i * pageSize < length; ++i) {
      const page = table[batch * maxPages + i]!;
      if (page < 0 || page >= pages) {
        throw new ShapeError(`${op}: blockTable[${batch}, ${i}] is ${page}, expected a page from 0 to ${pages - 1}`);
      }
    }
  });
}

/** Lays out the call. */
export function planPaged(b: Builder, inputs: PagedAttentionInputs, options: PagedAttentionOptions): AttentionResult {
  expectNames(OP, 'input', inputs, INPUTS);
  expectNames(OP, 'option', options, ['causal', 'window', 'scale', 'softcap']);
  const { q, kCache, vCache, blockTable, seqLens, kScale, vScale, alibiSlopes, sinks } = inputs;
  const sizes = matchShapes<keyof PagedAttentionInputs>(
    OP,
    { ...inputs },
    {
      q: 'B Tq Hq D',
      kCache: 'pages pageSize Hkv D',
      vCache: 'pages pageSize Hkv Dv',
      blockTable: 'B maxPages',
      seqLens: 'B',
      kScale: '?pages pageSize Hkv',
      vScale: '?pages pageSize Hkv',
      alibiSlopes: '?Hq',
      sinks: '?Hq',
    },
  ) as Record<'B' | 'Tq' | 'Hq' | 'D' | 'Dv' | 'pages' | 'pageSize' | 'Hkv' | 'maxPages', number>;
  const { B, Tq, Hq, Hkv, D, Dv, pages, pageSize, maxPages } = sizes;
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${OP}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  if (pageSize < 1) throw new ShapeError(`${OP}: pages hold ${pageSize} tokens, expected at least 1`);
  expectTypes(OP, { q }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { kCache, vCache }, ['f32', 'f16', 'bf16', 'i8']);
  expectTypes(OP, { kScale, vScale, alibiSlopes, sinks }, ['f32']);
  expectTypes(OP, { blockTable, seqLens }, ['i32']);
  expectRows(OP, { q, kCache, vCache, blockTable });
  expectContiguous(OP, { alibiSlopes, sinks, kScale, vScale });
  for (const [name, tensor, scale] of [
    ['kCache', kCache, kScale],
    ['vCache', vCache, vScale],
  ] as const) {
    if ((tensor.dtype === 'i8') !== (scale !== undefined)) {
      throw new DTypeError(
        `${OP}: ${name} is ${tensor.dtype} ${scale ? 'with' : 'without'} a scale; i8 needs it, others have none`,
      );
    }
  }
  const lengths = integers(OP, 'seqLens', seqLens);
  expectPages(OP, blockTable, lengths, maxPages, pageSize, pages);
  const call = {
    q,
    k: kCache,
    v: vCache,
    kScale,
    vScale,
    pages: { table: blockTable, size: pageSize },
    alibiSlopes,
    sinks,
    o: b.output([B, Tq, Hq, Dv]),
    lse: b.output([B, Tq, Hq]),
    sequences: Array.from(lengths, (kLength, batch) => ({
      batch,
      qStart: 0,
      qLength: Tq,
      kStart: 0,
      kLength,
      offset: kLength - Tq,
    })),
    scale: finite(OP, 'scale', options.scale, D ** -0.5),
    softcap: finite(OP, 'softcap', options.softcap, 0, 0),
    window: windowOf(OP, { causal: options.causal ?? Tq > 1, window: options.window }),
  };
  attend(b, call);
  return { o: call.o, lse: call.lse };
}

/**
 * Attention of the newest tokens of each sequence over its pages of a shared cache.
 *
 * Source: PagedAttention (Kwon 2023); the result equals `attention` over the gathered pages.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await pagedAttention({ q, kCache, vCache, blockTable, seqLens })
 */
export function pagedAttention(
  inputs: PagedAttentionInputs,
  options: PagedAttentionOptions = {},
): Promise<AttentionResult> {
  return run(OP, inputs, (b) => planPaged(b, inputs, options));
}

/** As `pagedAttention`, to the end before it returns. */
export function pagedAttentionSync(inputs: PagedAttentionInputs, options: PagedAttentionOptions = {}): AttentionResult {
  return runSync(OP, inputs, (b) => planPaged(b, inputs, options));
}
