import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** What was chosen by scores, and how far the closest decision was from falling the other way, relative to what decided. */
export interface Choice {
  chosen: Set<number>;
  gap: number;
}

/** Indices in falling order of their scores: ties to the lower index, NaN last. */
export function falling(scores: readonly number[]): number[] {
  const rank = (x: number) => (Number.isNaN(x) ? Number.NEGATIVE_INFINITY : x);
  return scores.map((_, i) => i).sort((a, b) => rank(scores[b]!) - rank(scores[a]!) || a - b);
}

function relativeGap(a: number, b: number): number {
  if (a === b || !Number.isFinite(a - b)) return Number.POSITIVE_INFINITY;
  return Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b));
}

/** The k largest scores, the forced ones among them. Equal scores are no near decision: their order is settled. */
export function largest(scores: readonly number[], k: number, forced: ReadonlySet<number> = new Set()): Choice {
  const order = falling(scores).filter((i) => !forced.has(i));
  const free = Math.min(order.length, Math.max(0, k - forced.size));
  const gap =
    free > 0 && free < order.length
      ? relativeGap(scores[order[free - 1]!]!, scores[order[free]!]!)
      : Number.POSITIVE_INFINITY;
  return { chosen: new Set([...forced, ...order.slice(0, free)]), gap };
}

/**
 * The smallest set, with the forced ones in it, whose mass reaches a share of the whole. `crossing: false` leaves out the element that
 * crosses the share: the largest set that does not pass it. At least `minimum` are chosen.
 */
export function heaviest(
  mass: readonly number[],
  share: number,
  {
    forced = new Set(),
    minimum = 0,
    crossing = true,
  }: { forced?: ReadonlySet<number>; minimum?: number; crossing?: boolean } = {},
): Choice {
  const total = mass.reduce((a, b) => a + b, 0);
  const order = falling(mass).filter((i) => !forced.has(i));
  let sum = [...forced].reduce((a, i) => a + mass[i]!, 0);
  let gap = Number.POSITIVE_INFINITY;
  const chosen = new Set(forced);
  for (const [n, i] of order.entries()) {
    if (share >= 1) {
      chosen.add(i);
      continue;
    }
    const before = sum;
    sum += mass[i]!;
    const least = chosen.size < minimum;
    const reached = (crossing ? before : sum) - share * total;
    if (!least) gap = Math.min(gap, Math.abs(reached) / (total || 1));
    if (!least && (crossing ? reached >= 0 : reached > 0)) {
      if (n > 0) gap = Math.min(gap, relativeGap(mass[order[n - 1]!]!, mass[i]!));
      break;
    }
    chosen.add(i);
  }
  return { chosen, gap };
}

/** Mean of the rows of each block of x [B,T,H,D]: [B,blocks,H,D]; the last block is of its own rows. */
export function meanBlocks(x: NdArray, block: number, round: Round = float64): Result {
  const [batches = 0, length = 0, heads = 0, d = 0] = x.shape;
  const o = zeros([batches, Math.ceil(length / block), heads, d]);
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      for (let n = 0; n < o.shape[1]!; n++) {
        const end = Math.min(length, (n + 1) * block);
        for (let c = 0; c < d; c++) {
          let sum = 0;
          for (let t = n * block; t < end; t++) sum = round(sum + x.data[offset(x.shape, b, t, h, c)]!);
          o.data[offset(o.shape, b, n, h, c)] = round(sum / (end - n * block));
        }
      }
    }
  }
  return o;
}

/** Row (b, t, h) of x [B,T,H,D] as numbers. */
export function rowOf(x: NdArray, b: number, t: number, h: number): number[] {
  const d = x.shape[3]!;
  const at = offset(x.shape, b, t, h, 0);
  return Array.from({ length: d }, (_, c) => x.data[at + c]!);
}

/** All rows of one batch entry and head. */
export function rowsOf(x: NdArray, b: number, h: number): number[][] {
  return Array.from({ length: x.shape[1]! }, (_, t) => rowOf(x, b, t, h));
}

/** Sum of products. */
export function product(a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Softmax over the finite or -Infinity scores of a row; nothing but -Infinity gives zeros. */
export function softmaxOf(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  if (most === Number.NEGATIVE_INFINITY) return scores.map(() => 0);
  const weights = scores.map((s) => Math.exp(s - most));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

/** A mask [B,H,Tq,Tk] of what `visible` shows, for the reference of attention. */
export function maskOf(
  shape: readonly [b: number, h: number, tq: number, tk: number],
  visible: (b: number, h: number, i: number, j: number) => boolean,
): NdArray {
  const [batches, heads, tq, tk] = shape;
  const mask = zeros(shape);
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < tq; i++) {
        for (let j = 0; j < tk; j++) mask.data[offset(shape, b, h, i, j)] = visible(b, h, i, j) ? 1 : 0;
      }
    }
  }
  return mask;
}
