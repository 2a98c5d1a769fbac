import { CodedRows } from '../../params';

// Rows of codes of `bits` (4 or 2) bits come in blocks of 64 / bits tokens, so that a 16-bit lane holds `tokens / 4` codes one product needs:
//
//   keys    u16 [d / 2][4][2]               lane (key & 3, channel & 1), code key >> 2
//   values  u16 [d / tokens][tokens / 2][4][2]   lane (channel & 3, token & 1), code (channel % tokens) >> 2
//
// A 16-bit product of pairs then sums two channels of four keys, or two tokens of four channels, and no code is ever unpacked: with
// y_i = lane >> (bits i), its code i is y_i - 2^bits y_(i+1), and so are sums of products with it (mod 2^32, which the differences stay
// below). The last code is read with its sign, so it is stored with its highest bit turned over.

/** Tokens of a block. */
// @ts-ignore: decorator
@inline
export function tokensOf(bits: i32): i32 {
  return 1 << shiftOf(bits);
}

/** log2 of that. */
// @ts-ignore: decorator
@inline
export function shiftOf(bits: i32): i32 {
  return 6 - (bits >> 1);
}

/** What is subtracted from a code of whole numbers before it is multiplied by the scale. */
// @ts-ignore: decorator
@inline
export function middleOf(c: CodedRows): i32 {
  return c.offset || c.codebook ? 0 : 1 << (c.bits - 1);
}

/** Index of the batch entry or page that holds a block, and the block's place in it. */
// @ts-ignore: decorator
@inline
function holderOf(c: CodedRows, batch: i32, block: i32): i32 {
  return c.pageTable
    ? load<i32>(c.pageTable + ((<usize>(batch * c.pagesPerSequence + block / c.pageBlocks)) << 2))
    : batch;
}

// @ts-ignore: decorator
@inline
function placeOf(c: CodedRows, block: i32): i32 {
  return c.pageTable ? block % c.pageBlocks : block;
}

/** Address of a block of codes. */
export function codesAt(c: CodedRows, batch: i32, block: i32, h: i32): usize {
  return (
    c.codes +
    <usize>holderOf(c, batch, block) * <usize>c.codeStrideB +
    <usize>placeOf(c, block) * <usize>c.codeStrideBlock +
    <usize>(h * c.codeStrideH)
  );
}

/** Bytes from the start of scale and offset to the numbers of a block. */
export function scalesOffset(c: CodedRows, batch: i32, block: i32, h: i32): usize {
  const place = placeOf(c, block);
  const span = c.byChannel ? (place * tokensOf(c.bits)) / c.group : place;
  const at =
    <usize>holderOf(c, batch, block) * <usize>c.scaleStrideB +
    <usize>span * <usize>c.scaleStrideBlock +
    <usize>(h * c.scaleStrideH);
  return at << 2;
}

/** Bytes from the start of the outliers to those of row r of a block. */
export function outliersOffset(c: CodedRows, batch: i32, block: i32, h: i32, r: i32): usize {
  const at =
    <usize>holderOf(c, batch, block) * <usize>c.outlierStrideB +
    <usize>placeOf(c, block) * <usize>c.outlierStrideBlock +
    <usize>(h * c.outlierStrideH + r * c.slots);
  return at << 2;
}

/** Blocks from `block` on, at most `most`, that lie one stride apart. */
// @ts-ignore: decorator
@inline
export function blockRun(c: CodedRows, block: i32, most: i32): i32 {
  return c.pageTable ? min(most, c.pageBlocks - (block % c.pageBlocks)) : most;
}

/** Bytes from the start of a block to the lane that holds the code of row r and channel `channel`. */
// @ts-ignore: decorator
@inline
function laneOf(c: CodedRows, r: i32, channel: i32): usize {
  if (!c.values) return <usize>(((channel >> 1) << 4) + ((((r & 3) << 1) + (channel & 1)) << 1));
  const shift = shiftOf(c.bits);
  const unit = (channel >> shift) << (shift + 3);
  return <usize>(unit + ((r >> 1) << 4) + ((((channel & 3) << 1) + (r & 1)) << 1));
}

/** Place of that code in its lane. */
// @ts-ignore: decorator
@inline
function fieldOf(c: CodedRows, r: i32, channel: i32): i32 {
  return (c.values ? channel & (tokensOf(c.bits) - 1) : r) >> 2;
}

/** What is turned over in the last code of a lane. */
// @ts-ignore: decorator
@inline
function turnOf(c: CodedRows, field: i32): i32 {
  return field == (tokensOf(c.bits) >> 2) - 1 ? 1 << (c.bits - 1) : 0;
}

/** Puts a code in its place; the others of its lane stay. */
// @ts-ignore: decorator
@inline
export function putCode(c: CodedRows, block: usize, r: i32, channel: i32, code: i32): void {
  const at = block + laneOf(c, r, channel);
  const field = fieldOf(c, r, channel);
  const shift = field * c.bits;
  const mask = ((1 << c.bits) - 1) << shift;
  store<u16>(at, <u16>(((<i32>load<u16>(at)) & ~mask) | ((code ^ turnOf(c, field)) << shift)));
}

/** The code of row r and channel `channel`. */
// @ts-ignore: decorator
@inline
function codeAt(c: CodedRows, block: usize, r: i32, channel: i32): i32 {
  const field = fieldOf(c, r, channel);
  const lane = <i32>load<u16>(block + laneOf(c, r, channel));
  return ((lane >> (field * c.bits)) & ((1 << c.bits) - 1)) ^ turnOf(c, field);
}

/** Bytes from a block's scales on to that of row r and the first channel of a group. */
// @ts-ignore: decorator
@inline
export function scaleOffset(c: CodedRows, r: i32, group: i32): usize {
  return (<usize>((group << shiftOf(c.bits)) + r)) << 2;
}

/** dst f32 [d] = row r of a block as its codes, scales and outliers say. */
export function widenCodes(c: CodedRows, batch: i32, block: i32, h: i32, r: i32, dst: usize): void {
  const codes = codesAt(c, batch, block, h);
  const scales = scalesOffset(c, batch, block, h);
  const middle = middleOf(c);
  const width = c.byChannel ? 1 : c.group;
  for (let group = 0, channel = 0; channel < c.d; ++group) {
    const at = scales + (c.byChannel ? (<usize>group) << 2 : scaleOffset(c, r, group));
    const scale = load<f32>(c.scale + at);
    const low: f32 = c.offset ? load<f32>(c.offset + at) : 0;
    for (const end = min(c.d - channel, width) + channel; channel < end; ++channel) {
      const code = codeAt(c, codes, r, channel) - middle;
      const level: f32 = c.codebook ? load<f32>(c.codebook + ((<usize>code) << 2)) : <f32>code;
      store<f32>(dst + ((<usize>channel) << 2), low + scale * level);
    }
  }
  if (!c.slots) return;
  const outliers = outliersOffset(c, batch, block, h, r);
  for (let slot: usize = 0; slot < (<usize>c.slots) << 2; slot += 4) {
    const at = dst + ((<usize>load<i32>(c.outlierIndex + outliers + slot)) << 2);
    store<f32>(at, load<f32>(at) + load<f32>(c.outlierValue + outliers + slot));
  }
}
