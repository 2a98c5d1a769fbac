/**
 * Host side of slots: keys and values of a bounded number of tokens, other ones for each head.
 *
 * @module
 */
import { GatherSlotsParams, PositionBitsParams, SlotParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { bytesOf, type DType, storageOf, type Tensor } from '../tensor.ts';
import { selectIndices } from './select/bits.ts';

/** Elements that a row is padded to with zeros: kernels read whole vectors of any storage type. */
const ROW = 8;
/** Elements of one turn at the work counter. */
const SPAN = 8192;

/** How slots are laid out. */
export interface SlotShape {
  readonly batch: number;
  readonly slots: number;
  readonly kvHeads: number;
  /** Key/value heads that hold the same tokens; divides kvHeads. */
  readonly unitHeads: number;
  readonly dk: number;
  readonly dv: number;
}

/** Slots of a batch. */
export interface Slots {
  /** [B, slots, Hkv, dk], rows of whole vectors, the slots of a head one after another. */
  readonly k: Tensor;
  /** [B, slots, Hkv, dv] */
  readonly v: Tensor;
  /** f32 [B, slots, Hkv], of i8 slots. */
  readonly kScale?: Tensor | undefined;
  readonly vScale?: Tensor | undefined;
  /** i32 [B, Hkv / unitHeads, slots]: position of the token that each slot holds. */
  readonly positions: Tensor;
  /** f32 [B, Hkv / unitHeads, slots]: weights that it has got; for slotAttend. */
  readonly sums?: Tensor | undefined;
}

/** Makes slots; `make` gives their tensors, whose first axes are the batch, heads or units, and slots. */
export function makeSlots(
  make: (shape: readonly number[], dtype: DType) => Tensor,
  { batch, slots, kvHeads, unitHeads, dk, dv }: SlotShape,
  dtype: DType,
  withSums = true,
): Slots {
  const rows = (d: number) => {
    const width = Math.ceil(d / ROW) * ROW;
    const all = make([batch, kvHeads, slots, width], dtype);
    return all.slice(3, 0, d).permute([0, 2, 1, 3]);
  };
  const scale = () => (dtype === 'i8' ? make([batch, kvHeads, slots], 'f32').permute([0, 2, 1]) : undefined);
  const units = kvHeads / unitHeads;
  return {
    k: rows(dk),
    v: rows(dv),
    kScale: scale(),
    vScale: scale(),
    positions: make([batch, units, slots], 'i32'),
    sums: withSums ? make([batch, units, slots], 'f32') : undefined,
  };
}

/** New tokens, and what becomes of them. */
export interface NewTokens {
  /** [B, T, Hkv, dk] and [B, T, Hkv, dv]: f32, f16 or bf16. */
  readonly k: Tensor;
  readonly v: Tensor;
  /** Slots in use before them, and the position of the first. */
  readonly held: number;
  readonly start: number;
}

/** Queries of the last new tokens, and how many tokens stay. */
export interface SlotQueries {
  /** `[B, queries, Hq, dk]`: f32, f16 or bf16. */
  readonly q: Tensor;
  /** f32 [B, queries, Hq, dv] */
  readonly o: Tensor;
  readonly scale: number;
  readonly softcap?: number;
  /** Slots held after each token; there is one more of them. */
  readonly budget: number;
  /** Newest tokens that stay in any case; at most budget. */
  readonly recent: number;
  /** Whether the weights of all queries are added up, or those of the newest count. */
  readonly addSums: boolean;
}

function slotParams(slots: Slots, { k: newK, v: newV, held, start }: NewTokens) {
  const { k, v, kScale, vScale, positions, sums } = slots;
  const [scaleStrideB = 0, scaleStrideT = 0, scaleStrideH = 0] = kScale?.strides ?? [];
  const values = {
    kType: storageOf(k),
    kScale: kScale?.address ?? 0,
    vType: storageOf(v),
    vScale: vScale?.address ?? 0,
    scaleStrideB,
    scaleStrideT,
    scaleStrideH,
    newKType: storageOf(newK),
    newVType: storageOf(newV),
    positions: positions.address,
    sums: sums?.address ?? 0,
    slots: positions.shape[2]!,
    held,
    start,
    tokens: newK.shape[1]!,
    kvHeads: k.shape[2]!,
    unitHeads: k.shape[2]! / positions.shape[1]!,
    dk: k.shape[3]!,
    dv: v.shape[3]!,
  };
  return { values, places: { k, v, newK, newV } };
}

/** Adds new tokens with their queries: put, attended, and as many let go as are too many. The last queries.shape[1] of them have one. */
export function slotAttend(b: Builder, slots: Slots, tokens: NewTokens, queries: SlotQueries): void {
  const { q, o, scale, softcap = 0, budget, recent, addSums } = queries;
  const { values, places } = slotParams(slots, tokens);
  const { kvHeads, dk, dv, held } = values;
  const [batch, heads] = [q.shape[0]!, q.shape[2]!];
  // a single token widens what it reads block by block, where it stays in the first-level cache
  const widened = slots.k.dtype !== 'f32' && values.tokens > 1;
  const wide = (x: Tensor) => (widened ? b.temporary([batch, kvHeads, values.slots, x.strides[1]!]).address : 0);
  const params = encode(SlotParams, values, {
    wideK: wide(slots.k),
    wideV: wide(slots.v),
    qType: storageOf(q),
    queries: q.shape[1]!,
    budget,
    recent,
    addSums: addSums ? 1 : 0,
    group: heads / kvHeads,
    scale,
    softcap,
  });
  encodePlaces(SlotParams, params, { ...places, q, o });
  const last = Math.min(budget + 1, held + values.tokens);
  b.dispatch({
    kernel: 'slotAttend',
    params,
    items: values.tokens === 0 ? 0 : batch * slots.positions.shape[1]!,
    scratchBytes: b.runtime.scratchBytes('slotScratchBytes', params),
    flops: 2 * batch * q.shape[1]! * heads * (dk + dv) * ((held + last) / 2),
  });
  b.note(
    () =>
      `slots: ${slots.positions.shape[1]} units of ${values.unitHeads} key/value heads hold ${budget} tokens each, one token after another`,
  );
}

/** Adds new tokens to the slots behind those in use. */
export function putTokens(b: Builder, slots: Slots, tokens: NewTokens): void {
  const { values, places } = slotParams(slots, tokens);
  const { kvHeads, unitHeads, dk, dv } = values;
  const params = encode(SlotParams, values);
  encodePlaces(SlotParams, params, places);
  const size = unitHeads * (dk + dv);
  b.dispatch({
    kernel: 'putTokens',
    params,
    items: tokens.k.shape[0]! * values.tokens * (kvHeads / unitHeads),
    grain: Math.max(1, Math.ceil(SPAN / size)),
    scratchBytes: (Math.max(dk, dv) + ROW) * 4,
    flops: tokens.k.size + tokens.v.size,
  });
}

/** Adds i32 [B, units, 1, held]: positions of the tokens held, in ascending order; all are below `length`. */
export function heldPositions(b: Builder, { positions }: Slots, held: number, length: number): Tensor {
  const [batch, units, slots] = positions.shape as [number, number, number];
  const words = Math.ceil(length / 32);
  const bits = b.temporary([batch, units, 1, words], 'i32');
  b.dispatch({
    kernel: 'positionBits',
    params: encode(PositionBitsParams, {
      positions: positions.address,
      stride: slots,
      count: held,
      bits: bits.address,
      words,
    }),
    items: batch * units,
    flops: batch * units * (held + words),
  });
  return selectIndices(b, bits, held).indices;
}

/**
 * Adds that the slots of x go to the first ones of o, tensors [1, heads, slots, ...] of one type and row: those that indices i32
 * [1, heads, 1, count] name.
 */
export function gatherSlots(b: Builder, x: Tensor, indices: Tensor, o: Tensor): void {
  const [, heads, slots] = x.shape as [number, number, number];
  const count = indices.shape[3]!;
  const rowBytes = x.strides[2]! * bytesOf(x.dtype);
  b.dispatch({
    kernel: 'gatherSlots',
    params: encode(GatherSlotsParams, {
      x: x.address,
      o: o.address,
      indices: indices.address,
      slots,
      outSlots: o.shape[2]!,
      count,
      rowBytes,
    }),
    items: heads * count,
    grain: Math.max(1, Math.ceil(SPAN / rowBytes)),
    flops: (heads * count * rowBytes) / 4,
  });
}
