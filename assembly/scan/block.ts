import { ScanStateParams, Segment } from '../params';

/** Blocks of channels that the work items of a scan count through within a segment. */
// @ts-ignore: decorator
@inline
export function blocksOf(p: ScanStateParams): i32 {
  return (p.channels + p.block - 1) / p.block;
}

/** Segment number `index`. */
// @ts-ignore: decorator
@inline
export function segmentAt(p: ScanStateParams, index: i32): Segment {
  return changetype<Segment>(p.segments + <usize>index * offsetof<Segment>());
}

/** Bytes before element [row, channel] of [rows, channels]. */
// @ts-ignore: decorator
@inline
export function bytesTo(p: ScanStateParams, row: i32, channel: i32): usize {
  return (<usize>row * <usize>p.channels + <usize>channel) << 2;
}

/** Stores the first `left` lanes, all four if there are as many. */
// @ts-ignore: decorator
@inline
export function storeChannels(at: usize, x: v128, left: i32): void {
  if (left >= 4) v128.store(at, x);
  else storeSome(at, x, left);
}

function storeSome(at: usize, x: v128, left: i32): void {
  store<f32>(at, f32x4.extract_lane(x, 0));
  if (left > 1) store<f32>(at, f32x4.extract_lane(x, 1), 4);
  if (left > 2) store<f32>(at, f32x4.extract_lane(x, 2), 8);
}

/** Fills n floats from initial state number `index`, or with `none` where there is none. */
export function startState(
  to: usize,
  from: usize,
  p: ScanStateParams,
  index: i32,
  channel: i32,
  n: i32,
  none: f32,
): void {
  if (from && index >= 0) {
    const source = from + bytesTo(p, index, channel);
    if (source != to) memory.copy(to, source, (<usize>n) << 2);
    return;
  }
  for (let i: usize = 0, all = (<usize>n) << 2; i < all; i += 4) store<f32>(to + i, none);
}
