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

/** Address of the lane that holds the code of row r and channel `channel`, from the start of the block. */
// @ts-ignore: decorator
@inline
function laneOf(values: bool, tokens: i32, r: i32, channel: i32): i32 {
  if (!values) return ((channel >> 1) << 4) + ((((r & 3) << 1) + (channel & 1)) << 1);
  const unit = channel / tokens;
  return unit * (tokens << 3) + ((r >> 1) << 4) + ((((channel & 3) << 1) + (r & 1)) << 1);
}

// @ts-ignore: decorator
@inline
function fieldOf(values: bool, tokens: i32, r: i32, channel: i32): i32 {
  return (values ? channel % tokens : r) >> 2;
}

/** Puts a code in its place; the others of its lane stay. */
export function putCode(c: CodedRows, block: usize, r: i32, channel: i32, code: i32): void {
  const tokens = tokensOf(c.bits);
  const at = block + <usize>laneOf(c.values != 0, tokens, r, channel);
  const field = fieldOf(c.values != 0, tokens, r, channel);
  const turned = field == (tokens >> 2) - 1 ? code ^ (1 << (c.bits - 1)) : code;
  const shift = field * c.bits;
  const mask = ((1 << c.bits) - 1) << shift;
  store<u16>(at, <u16>(((<i32>load<u16>(at)) & ~mask) | (turned << shift)));
}

/** The code of row r and channel `channel`. */
export function codeAt(c: CodedRows, block: usize, r: i32, channel: i32): i32 {
  const tokens = tokensOf(c.bits);
  const field = fieldOf(c.values != 0, tokens, r, channel);
  const lane = <i32>load<u16>(block + <usize>laneOf(c.values != 0, tokens, r, channel));
  const code = (lane >> (field * c.bits)) & ((1 << c.bits) - 1);
  return field == (tokens >> 2) - 1 ? code ^ (1 << (c.bits - 1)) : code;
}

/** dst f32 [d] = row r of a block as its codes, scales and outliers say. */
export function widenCodes(c: CodedRows, batch: i32, block: i32, h: i32, r: i32, dst: usize): void {
  const codes = codesAt(c, batch, block, h);
  const scales = scalesOffset(c, batch, block, h);
  const tokens = tokensOf(c.bits);
  const middle = middleOf(c);
  for (let channel = 0; channel < c.d; ++channel) {
    const at = scales + ((<usize>(c.byChannel ? channel : (channel / c.group) * tokens + r)) << 2);
    const code = codeAt(c, codes, r, channel) - middle;
    const level: f32 = c.codebook ? load<f32>(c.codebook + ((<usize>code) << 2)) : <f32>code;
    const low: f32 = c.offset ? load<f32>(c.offset + at) : 0;
    store<f32>(dst + ((<usize>channel) << 2), low + load<f32>(c.scale + at) * level);
  }
  if (!c.slots) return;
  const outliers = outliersOffset(c, batch, block, h, r);
  for (let slot: usize = 0; slot < (<usize>c.slots) << 2; slot += 4) {
    const at = dst + ((<usize>load<i32>(c.outlierIndex + outliers + slot)) << 2);
    store<f32>(at, load<f32>(at) + load<f32>(c.outlierValue + outliers + slot));
  }
}
