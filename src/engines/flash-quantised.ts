/**
 * Host side of flash on rounded queries, keys and values: what is taken off first, and the packing.
 *
 * @module
 */
import { FlashPackParams, FlashQuantiseParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { type AttentionCall, cacheParams } from './attention-call.ts';
import { BLOCK_K } from './block-list.ts';

/** How attention is rounded; see `AttentionOptions.quantization`. */
export interface Quantization {
  readonly kind: 'int8' | 'sage' | 'sage2' | 'sage3' | 'fp8';
  /** sage2: the mean of the values is taken off before they are rounded, and added to o. */
  readonly smoothV?: boolean | undefined;
  /** fp8: queries and keys are turned by a Hadamard matrix before they are rounded. */
  readonly hadamard?: boolean | undefined;
}

/** As assembly/flash/quantization.ts numbers them. */
const KINDS = { int8: 1, sage: 2, sage2: 3, sage3: 4, fp8: 5 };
/** Query rows that share a scale or a mean, where rows do not have their own. */
const SHARED_ROWS = 128;
/** Bytes before the codes of a byte panel of eight columns. */
const PANEL_HEAD = 64;

/** Query rows of an item, where a kind asks for them. */
export function quantisedRows({ kind }: Quantization): number | undefined {
  return kind === 'int8' ? undefined : SHARED_ROWS;
}

/** Numbers of a key in kPack, for kinds whose products are f32: 0 for codes. */
function depthOf({ kind, hadamard }: Quantization, dk: number): number {
  if (kind === 'int8' || kind === 'sage') return 0;
  const width = Math.ceil((hadamard ? 2 ** Math.ceil(Math.log2(dk)) : dk) / 8) * 8;
  // the products of the queries' mean with keys that are not rounded are further terms of the sum
  return kind === 'fp8' ? width : 2 * width;
}

const panelBytes = (terms: number) => PANEL_HEAD + Math.ceil(terms / 8) * 64;

/** Adds the dispatches that round and pack keys and values; what they say to the flash kernel. */
export function packQuantised(
  b: Builder,
  call: AttentionCall,
  quantization: Quantization,
  sequences: number,
  blocks: number,
) {
  const { q, k, v } = call;
  const { kind } = quantization;
  const [dk, dv, kvHeads] = [q.shape[3]!, v.shape[3]!, k.shape[2]!];
  const sequenceCount = call.sequences.length;
  const depth = depthOf(quantization, dk);
  const perSequence = (d: number) => b.temporary([sequenceCount, kvHeads, d]);
  const kBytes = depth === 0 ? (BLOCK_K / 8) * panelBytes(dk) : BLOCK_K * depth * 4;
  const vBytes = Math.ceil(dv / 8) * (kind === 'int8' ? panelBytes(BLOCK_K) : BLOCK_K * 32);
  const kPack = b.temporary([kvHeads, blocks, kBytes / 4]);
  const vPack = b.temporary([kvHeads, blocks, vBytes / 4]);
  const kMeans = kind === 'fp8' ? undefined : perSequence(dk);
  const vMeans = quantization.smoothV ? perSequence(dv) : undefined;
  const vMost = kind === 'sage2' ? perSequence(dv) : undefined;
  const shape = { sequences, sequenceCount, kvHeads, dk, dv, blocks };
  const plainValues = kind === 'sage';
  const statistics = {
    kMeans: kMeans?.address ?? 0,
    vMeans: vMeans?.address ?? 0,
    vMost: vMost?.address ?? 0,
  };
  const params = encode(FlashQuantiseParams, cacheParams(call), shape, statistics, {
    kPack: kPack.address,
    vPack: plainValues ? 0 : vPack.address,
    quantization: KINDS[kind],
    depth,
    hadamard: quantization.hadamard ? 1 : 0,
  });
  const width = Math.max(depth, Math.ceil(Math.max(dk, dv) / 8) * 8);
  const scratchBytes = BLOCK_K * (10 + width) * 4;
  const elements = blocks * kvHeads * BLOCK_K;
  if (kMeans || vMost) {
    b.dispatch({
      kernel: 'flashStatistics',
      params,
      items: sequenceCount * kvHeads,
      scratchBytes,
      flops: elements * (dk + (vMost ? dv : 0)),
    });
  }
  b.dispatch({
    kernel: 'flashPackQuantised',
    params,
    items: blocks * kvHeads,
    grain: 4,
    scratchBytes,
    flops: elements * (dk + dv) * 4,
  });
  if (plainValues) {
    b.dispatch({
      kernel: 'flashPack',
      params: encode(FlashPackParams, cacheParams(call), shape, { vPack: vPack.address }),
      items: blocks * kvHeads,
      grain: 4,
      scratchBytes: BLOCK_K * (1 + dv) * 4,
      flops: elements * dv,
    });
  }
  b.note(
    () =>
      `quantised to ${kind}: ${
        kind === 'int8'
          ? `both products on ${b.runtime.relaxedDot ? 'the relaxed dot product of 8-bit integers' : 'products of 16-bit integers'}`
          : kind === 'sage'
            ? 'scores by products of 16-bit integers'
            : 'an emulation, f32 arithmetic on rounded numbers'
      }`,
  );
  return {
    kPack: kPack.address,
    vPack: vPack.address,
    quantization: KINDS[kind],
    depth,
    kMeans: statistics.kMeans,
    vMeans: statistics.vMeans,
    relaxedDot: b.runtime.relaxedDot ? 1 : 0,
    hadamard: quantization.hadamard ? 1 : 0,
  };
}
