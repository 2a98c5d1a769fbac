/**
 * Keys and values kept as codes of 4 or 2 bits: where they lie, how rows become codes, and attention on them.
 *
 * @module
 */
import { CodeDecodeParams, CodedRows, QuantizeParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionCall, attentionParams, cacheParams, type Pages, visiblePairs } from './attention-call.ts';
import { BLOCK_K } from './block-list.ts';
import { mergeSplits, splitKeysOf } from './decode.ts';
import { sequenceTable } from './sequences.ts';

/** How rows are coded. */
export interface CodeFormat {
  readonly of: 'keys' | 'values';
  readonly bits: 4 | 2;
  /** A scale for each token of a group of channels, or for each channel of a group of tokens. */
  readonly axis: 'token' | 'channel';
  readonly group: number;
}

/** Coded rows: x = offset + scale * code, or with a codebook offset + scale * codebook[code]. */
export interface Coded extends CodeFormat {
  readonly d: number;
  /** u8 [B, blocks, H, bytes]; of pages [pages, blocks of a page, H, bytes]. What is inside of a head is contiguous, here and below. */
  readonly codes: Tensor;
  /** f32, as `scaleShape` says; or [H, D], the same for all tokens (axis 'channel'). */
  readonly scale: Tensor;
  /** As scale, strides too; absent, codes are symmetric. */
  readonly offset?: Tensor | undefined;
  /** f32 [2^bits] */
  readonly codebook?: Tensor | undefined;
  /** i32 and f32 [B, blocks, H, tokens of a block, slots]: channels, and what is added to them. */
  readonly outlierIndex?: Tensor | undefined;
  readonly outlierValue?: Tensor | undefined;
  readonly pages?: Pages | undefined;
}

/** Keys turned when they are read. */
export interface Turning {
  /** f32 [positions, rotated / 2] */
  readonly cos: Tensor;
  readonly sin: Tensor;
  readonly interleaved: boolean;
}

/** More queries are attended to in parts: partial results of all splits lie in memory at once. */
const MOST_QUERIES = 16;
/** A group that is never left: numbers that serve all tokens. */
const ALL_TOKENS = 2 ** 30;

/** Tokens of a block. */
export function tokensOf(bits: number): number {
  return 64 / bits;
}

/** Bytes of a head of a block. */
export function blockBytes({ of, bits }: Pick<CodeFormat, 'of' | 'bits'>, d: number): number {
  const unit = of === 'values' ? tokensOf(bits) : 4;
  return Math.ceil(d / unit) * unit * 8;
}

/** The shape of codes of `tokens` tokens. */
export function codeShape(format: CodeFormat, batch: number, tokens: number, heads: number, d: number): number[] {
  return [batch, Math.ceil(tokens / tokensOf(format.bits)), heads, blockBytes(format, d)];
}

/** The shape of scale and offset of `tokens` tokens. */
export function scaleShape(format: CodeFormat, batch: number, tokens: number, heads: number, d: number): number[] {
  if (format.axis === 'channel') return [batch, Math.ceil(tokens / format.group), heads, d];
  const block = tokensOf(format.bits);
  return [batch, Math.ceil(tokens / block), heads, Math.ceil(d / format.group), block];
}

/** The words of a CodedRows. */
function codedWords(c: Coded): Int32Array {
  const everywhere = c.scale.shape.length === 2;
  const [scaleStrideB, scaleStrideBlock, scaleStrideH] = everywhere
    ? [0, 0, c.scale.strides[0]!]
    : (c.scale.strides as [number, number, number]);
  const slots = c.outlierIndex?.shape[4] ?? 0;
  const [outlierStrideB = 0, outlierStrideBlock = 0, outlierStrideH = 0] = c.outlierIndex?.strides ?? [];
  return encode(CodedRows, {
    codes: c.codes.address,
    codeStrideB: c.codes.strides[0]!,
    codeStrideBlock: c.codes.strides[1]!,
    codeStrideH: c.codes.strides[2]!,
    scale: c.scale.address,
    offset: c.offset?.address ?? 0,
    scaleStrideB,
    scaleStrideBlock,
    scaleStrideH,
    codebook: c.codebook?.address ?? 0,
    outlierIndex: c.outlierIndex?.address ?? 0,
    outlierValue: c.outlierValue?.address ?? 0,
    outlierStrideB,
    outlierStrideBlock,
    outlierStrideH,
    slots,
    bits: c.bits,
    values: c.of === 'values' ? 1 : 0,
    byChannel: c.axis === 'channel' ? 1 : 0,
    group: everywhere ? ALL_TOKENS : c.group,
    d: c.d,
    pageTable: c.pages?.table.address ?? 0,
    pageBlocks: c.codes.shape[1]!,
    pagesPerSequence: c.pages?.table.strides[0] ?? 0,
  });
}

function rowsParams(b: Builder, c: Coded, x: Tensor, first: number) {
  return {
    x: x.address,
    xStrideB: x.strides[0]!,
    xStrideT: x.strides[1]!,
    xStrideH: x.strides[2]!,
    rows: b.table(codedWords(c)),
    first,
    count: x.shape[1]!,
    heads: x.shape[2]!,
  };
}

/** Adds that rows x [B, count, H, D] become the codes of tokens from `first` on. Scales of groups of tokens are made of whole groups. */
export function quantizeRows(b: Builder, c: Coded, x: Tensor, first: number): void {
  const [batch, count, heads] = x.shape as [number, number, number];
  const given = c.axis === 'channel' && c.scale.shape.length === 2;
  const span = c.axis === 'channel' && !given ? c.group : tokensOf(c.bits);
  const spans = Math.ceil((first + count) / span) - Math.floor(first / span);
  if (count === 0) return;
  b.dispatch({
    kernel: 'quantizeRows',
    params: encode(QuantizeParams, { ...rowsParams(b, c, x, first), span, given: given ? 1 : 0 }),
    items: batch * spans * heads,
    scratchBytes: c.d * 4 + 16,
    flops: 16 * x.size,
  });
}

/** Adds that the codes of tokens from `first` on become rows x [B, count, H, D]. */
export function dequantizeRows(b: Builder, c: Coded, x: Tensor, first: number): void {
  b.dispatch({
    kernel: 'dequantizeRows',
    params: encode(QuantizeParams, rowsParams(b, c, x, first)),
    items: x.shape[0]! * x.shape[1]!,
    flops: 4 * x.size,
  });
}

/** An attention call whose keys and values are codes, but for those behind them: k and v are the f32 rows of the newest tokens. */
export interface CodedCall {
  readonly call: AttentionCall;
  readonly kRows: Coded;
  readonly vRows: Coded;
  /** Keys and values of each sequence that are coded. */
  readonly coded: readonly (readonly [k: number, v: number])[];
  readonly turning?: Turning | undefined;
}

/** Adds attention on codes and the rows behind them, one softmax over both. */
export function codeAttend(b: Builder, { call, kRows, vRows, coded, turning }: CodedCall): void {
  const { q } = call;
  const [heads, kvHeads] = [q.shape[2]!, kRows.codes.shape[2]!];
  const [dk, dv] = [kRows.d, vRows.d];
  const longestQ = Math.max(0, ...call.sequences.map((s) => s.qLength));
  const longestK = Math.max(1, ...call.sequences.map((s) => s.kLength));
  const splitKeys = splitKeysOf(longestK, kvHeads, b.runtime.backend);
  const splits = Math.ceil(longestK / splitKeys);
  if (longestQ === 0) return;
  const [k, v] = [b.table(codedWords(kRows)), b.table(codedWords(vRows))];
  const counts = b.table(Int32Array.from(coded.flat()));
  const part = (from: number) =>
    b.reusing(() => {
      const sequences = call.sequences.map((s) => ({
        ...s,
        qStart: s.qStart + from,
        qLength: Math.max(0, Math.min(MOST_QUERIES, s.qLength - from)),
        offset: s.offset + from,
      }));
      const rows = (Math.min(MOST_QUERIES, longestQ - from) * heads) / kvHeads;
      const table = b.table(sequenceTable(sequences, () => 0, BLOCK_K).words);
      const partials = b.temporary([sequences.length, kvHeads, splits, rows, Math.ceil(dv / 8) * 8 + 8]);
      const params = encode(CodeDecodeParams, attentionParams(call, table), cacheParams(call), {
        group: heads / kvHeads,
        dk,
        dv,
        kvHeads,
        splitKeys,
        splits,
        rows,
        partials: partials.address,
        kRows: k,
        vRows: v,
        coded: counts,
        cos: turning?.cos.address ?? 0,
        sin: turning?.sin.address ?? 0,
        rotated: 2 * (turning?.cos.shape[1] ?? 0),
        interleaved: turning?.interleaved ? 1 : 0,
      });
      b.dispatch({
        kernel: 'codeDecode',
        params,
        items: sequences.length * splits * kvHeads,
        scratchBytes: b.runtime.scratchBytes('codeDecodeScratchBytes', params),
        flops: visiblePairs({ ...call, sequences }) * heads * 2 * (dk + dv),
      });
      mergeSplits(b, params, { count: sequences.length, kvHeads, rows, splits, dv });
    });
  for (let from = 0; from < longestQ; from += MOST_QUERIES) part(from);
  b.note(
    () =>
      `decode engine on codes: keys of ${kRows.bits} bits by ${kRows.axis}, values of ${vRows.bits} bits, ` +
      `${splits} splits of ${splitKeys} keys`,
  );
}
