/**
 * Single columns that queries see besides what one attention has computed: gathered, attended to, and joined to it.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionCall } from './attention-call.ts';
import { mergeStates } from './decode.ts';
import { flashAttend } from './flash.ts';
import { gatherHeads } from './select/gather.ts';
import { BEFORE, type ColumnIndices, gatheredBits } from './select/gathered-bits.ts';

/** Queries of a row of bits. */
export const COLUMN_ROWS = 64;

/** Columns, and which of them each query has seen already. */
export interface ColumnsCall extends ColumnIndices {
  /** i32 [B, Hq, rows of COLUMN_ROWS queries, words]: columns in these blocks of keyBlock keys count as seen. */
  readonly blocks?: Tensor | undefined;
  readonly keyBlock?: number;
  /**
   * For each head: columns less than so far before a query count as seen. BEFORE: those not before all queries of a row do, because the
   * row's own places are in its blocks; such heads need no places.
   */
  readonly shifts: readonly number[];
}

/** Runs of heads [first, end) that all need places, or all do not. */
function runs(shifts: readonly number[]): [first: number, end: number][] {
  const found: [number, number][] = [];
  for (const [h, shift] of shifts.entries()) {
    const last = found.at(-1);
    if (last && (shifts[last[0]] === BEFORE) === (shift === BEFORE)) last[1] = h + 1;
    else found.push([h, h + 1]);
  }
  return found;
}

/** Adds causal attention to the columns i32 [B, Hq, 1, n] into o and lse, both contiguous, of a call over other keys. */
export function attendColumns(
  b: Builder,
  call: AttentionCall & { readonly lse: Tensor },
  { indices, counts, blocks, keyBlock = COLUMN_ROWS, shifts }: ColumnsCall,
): void {
  const { q, k, v, o, lse } = call;
  const [batch, Tq, heads, d] = q.shape as [number, number, number, number];
  const [Tk, dv] = [k.shape[1]!, v.shape[3]!];
  const n = indices.shape[3]!;
  if (n === 0 || q.size === 0) return;
  const sizes = { Tq, Tk, queryBlock: COLUMN_ROWS, keyBlock };
  const { bits, places } = gatheredBits(b, { ...sizes, indices, counts, blocks, shifts });
  const order = indices.reshape([batch, heads, n]);
  const [gatheredK, gatheredV] = [gatherHeads(b, k, order), gatherHeads(b, v, order)];
  const [o2, lse2] = [b.temporary([batch, Tq, heads, dv]), b.temporary([batch, Tq, heads])];
  const own = b.temporary([1, Tq], 'i32');
  own.write(Int32Array.from({ length: Tq }, (_, i) => i + Tk - Tq));
  for (let i = 0; i < batch; ++i) {
    for (const [first, end] of runs(shifts)) {
      // every head has columns of its own, and so is a sequence of its own
      const count = end - first;
      const of = (x: Tensor, axis: number) => x.slice(0, i, i + 1).slice(axis, first, end);
      const headFirst = (x: Tensor, rest: readonly number[]) =>
        of(x, 2).restride([count, Tq, 1, ...rest], [x.strides[2]!, x.strides[1]!, x.strides[2]!, ...rest.map(() => 1)]);
      const gathered = (x: Tensor) => x.slice(0, i * heads + first, i * heads + end);
      const rows = of(bits, 1).reshape([count, 1, ...bits.shape.slice(2)]);
      flashAttend(
        b,
        {
          q: headFirst(q, [d]),
          k: gathered(gatheredK),
          v: gathered(gatheredV),
          o: headFirst(o2, [dv]),
          lse: headFirst(lse2, []),
          sequences: Array.from({ length: count }, (_, sequence) => ({
            batch: sequence,
            qStart: 0,
            qLength: Tq,
            kStart: 0,
            kLength: n,
            offset: 0,
          })),
          scale: call.scale,
          softcap: 0,
          window: [-1, shifts[first] === BEFORE ? -1 : 0],
        },
        {
          selection: { bits: rows, queryBlock: COLUMN_ROWS, keyBlock: 1 },
          ...(shifts[first] !== BEFORE && { positions: { q: own, k: of(places, 1).reshape([count, n]) } }),
        },
      );
    }
  }
  mergeStates(b, o, lse, o2, lse2, o, lse);
}
