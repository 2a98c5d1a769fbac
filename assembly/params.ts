// The whole ABI between host and kernels: one class per kernel, every field four bytes, offsets in bytes by position.
// `usize` fields are addresses; strides and lengths count elements unless a name ends in Bytes.
// An address of 0 means that the operand is absent. The build writes the TypeScript mirror from this file.

/** One sequence of a batch, as flash and decode work through it: a table of these, eight words each. */
@unmanaged
export class Sequence {
  batch: i32;
  /** First query row and count. */
  qStart: i32;
  qLength: i32;
  /** First key row and count. */
  kStart: i32;
  kLength: i32;
  /** Key index that query row 0 is aligned with: kLength - qLength for bottom-right. */
  offset: i32;
  /** First 64-key block of this sequence among the packed blocks. */
  packBlock: i32;
  /** Number of this sequence's first work item. */
  firstItem: i32;
}

/** Where keys and values lie. */
@unmanaged
export class CacheParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  kScale: usize;
  v: usize;
  vStrideB: i32;
  vStrideT: i32;
  vStrideH: i32;
  vType: i32;
  vScale: usize;
  /** Strides of kScale and vScale. */
  scaleStrideB: i32;
  scaleStrideT: i32;
  scaleStrideH: i32;
  /** i32 [B, pagesPerSequence] page of each span of pageSize keys; with it, stride B counts pages. */
  pageTable: usize;
  pageSize: i32;
  pagesPerSequence: i32;
}


@unmanaged
export class FlashPackParams extends CacheParams {
  kPack: usize;
  vPack: usize;
  /** f32 [Hkv, blocks]: largest norm of a block's keys. */
  kNorms: usize;
  sequences: usize;
  sequenceCount: i32;
  kvHeads: i32;
  dk: i32;
  dv: i32;
  /** Packed 64-key blocks of one head, all sequences together. */
  blocks: i32;
}

/** What flash and decode share. */
@unmanaged
export class AttentionParams extends CacheParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  lse: usize;
  lseStrideB: i32;
  lseStrideT: i32;
  lseStrideH: i32;
  sequences: usize;
  sequenceCount: i32;
  heads: i32;
  /** Query heads that share one key/value head. */
  group: i32;
  dk: i32;
  dv: i32;
  scale: f32;
  /** 0: none. */
  softcap: f32;
  /** Keys visible before and after the aligned key; negative: no limit. */
  windowLeft: i32;
  windowRight: i32;
  bias: usize;
  biasStrideB: i32;
  biasStrideH: i32;
  biasStrideT: i32;
  mask: usize;
  maskStrideB: i32;
  maskStrideH: i32;
  maskStrideT: i32;
  keyBias: usize;
  keyBiasStrideB: i32;
  keyBiasStrideT: i32;
  keyBiasStrideH: i32;
  /** 1: keyBias holds f64. */
  keyBiasWide: i32;
  alibiSlopes: usize;
  sinks: usize;
  /** f32 [B, H, Tq, Tk] scores to write out, in natural units. */
  scores: usize;
  scoresStrideB: i32;
  scoresStrideH: i32;
  scoresStrideT: i32;
  /** 0: q k scale, 1: after softcap, 2: after bias and mask. */
  scoresStage: i32;
  /** f32 [H]: o is multiplied by it. */
  outScale: usize;
  /** 1: add to o instead of overwriting it. */
  accumulate: i32;
}


@unmanaged
export class FlashParams extends AttentionParams {
  kPack: usize;
  vPack: usize;
  kNorms: usize;
  blocks: i32;
  /** Query rows of one work item. */
  blockQ: i32;
  /** Block list: rows [item] -> range of entries; entry = key block * 2 + full. */
  listRows: usize;
  listEntries: usize;
  /** u64 [entries, blockQ]: which keys of a partial entry each row sees. */
  listBits: usize;
  /** Second query of parallax attention, strided as q. */
  r: usize;
}


@unmanaged
export class DecodeParams extends AttentionParams {
  kvHeads: i32;
  /** Keys of one work item, a multiple of 64, and the work items of the longest sequence. */
  splitKeys: i32;
  splits: i32;
  /** Query rows of the longest sequence that share a key/value head: its length times group. */
  rows: i32;
  /** 1: the engine's relaxed dot product of 8-bit integers was found to be right. */
  relaxedDot: i32;
  /** f32 [sequence, kvHead, split, row, ceil8(dv) + 8] unnormalised o, then m and l. */
  partials: usize;
}


@unmanaged
export class MergeStateParams {
  oA: usize;
  lseA: usize;
  oB: usize;
  lseB: usize;
  o: usize;
  lse: usize;
  d: i32;
}


@unmanaged
export class GemmPackParams {
  b: usize;
  /** Elements between rows of b as it lies in memory. */
  bStride: i32;
  bType: i32;
  /** 1: b lies as [n, k]. */
  transposed: i32;
  bPack: usize;
  k: i32;
  n: i32;
  /** Elements between the matrices of a batch. */
  bStrideB: i32;
}


@unmanaged
export class GemmParams {
  a: usize;
  aStride: i32;
  bPack: usize;
  o: usize;
  oStride: i32;
  bias: usize;
  m: i32;
  k: i32;
  n: i32;
  /** 0: none, 1: relu, 2: silu, 3: gelu by its tanh form. */
  activation: i32;
  /** Rows of one work item, a multiple of the tile's. */
  blockM: i32;
  /** Columns of one work item, a multiple of 8. */
  blockN: i32;
  /** Strides of a batch of products in a, bPack and o; 0 for one product. */
  aStrideB: i32;
  bStrideB: i32;
  oStrideB: i32;
}

/** Gated linear attention, see linear/linear.ts. */
@unmanaged
export class LinearParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  v: usize;
  vStrideB: i32;
  vStrideT: i32;
  vStrideH: i32;
  vType: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  sequences: usize;
  sequenceCount: i32;
  /** Tokens of a batch entry. */
  length: i32;
  /** Value heads, and how many share a key head. */
  heads: i32;
  group: i32;
  dk: i32;
  dv: i32;
  /** Columns of one work item. */
  blockV: i32;
  scale: f32;
  /** 1: reading, 2: writing, 3: both. */
  mode: i32;
  /** Gates over rows; 0: none, 1: one a token and head, 2: one a row. */
  gateKind: i32;
  g: usize;
  gStrideB: i32;
  gStrideT: i32;
  gStrideH: i32;
  /** Value heads that share a gate. */
  gateGroup: i32;
  /** 1: gates are decays, not their logs. */
  gateLinear: i32;
  /** Gates over columns. */
  gv: usize;
  gvStrideB: i32;
  gvStrideT: i32;
  gvStrideH: i32;
  /** 1: k is 1 - decay. */
  tied: i32;
  /** 1: a token reads the state before it writes. */
  exclusive: i32;
  weight: usize;
  bonus: usize;
  bonusStrideH: i32;
  /** f32 [B, T, HV]: factor on each token's bonus. */
  bonusScalar: usize;
  bonusSigmoid: i32;
  skip: usize;
  /** Denominator of o; 0: none, 1: q z + epsilon, 2: at least epsilon, 3: max(|q z|, e^-m) + epsilon, 4: q (z + epsilon). */
  normalizer: i32;
  epsilon: f32;
  /** f32 [B, T, HV] */
  m: usize;
  stateIn: usize;
  stateOut: usize;
  stateStrideN: i32;
  stateStrideH: i32;
  stateStrideK: i32;
  stateStrideV: i32;
  zIn: usize;
  zOut: usize;
}

/** Log-linear attention, see linear/log-linear.ts. */
@unmanaged
export class LogLinearParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  v: usize;
  vStrideB: i32;
  vStrideT: i32;
  vStrideH: i32;
  vType: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  g: usize;
  gStrideB: i32;
  gStrideT: i32;
  gStrideH: i32;
  levelScales: usize;
  levelScalesStrideB: i32;
  levelScalesStrideT: i32;
  levelScalesStrideH: i32;
  /** Offsets of these are tokens before the call. */
  sequences: usize;
  sequenceCount: i32;
  /** Value heads, and how many share a key head. */
  heads: i32;
  group: i32;
  dk: i32;
  dv: i32;
  /** Columns of one work item. */
  blockV: i32;
  /** Slots that any sequence comes to use. */
  slots: i32;
  stateIn: usize;
  slotsIn: i32;
  stateOut: usize;
  slotsOut: i32;
  positionOut: usize;
}

/** Mamba-3's operands for the gated-linear engine, see linear/trapezoid.ts. */
@unmanaged
export class TrapezoidParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  v: usize;
  vStrideB: i32;
  vStrideT: i32;
  vStrideH: i32;
  vType: i32;
  dt: usize;
  dtStrideB: i32;
  dtStrideT: i32;
  dtStrideH: i32;
  lambda: usize;
  lambdaStrideB: i32;
  lambdaStrideT: i32;
  lambdaStrideH: i32;
  a: usize;
  aStrideB: i32;
  aStrideT: i32;
  aStrideH: i32;
  angles: usize;
  anglesStrideB: i32;
  anglesStrideT: i32;
  anglesStrideH: i32;
  sequences: usize;
  sequenceCount: i32;
  /** Tokens of a batch entry. */
  length: i32;
  /** Value heads, and how many share a key head. */
  heads: i32;
  group: i32;
  dk: i32;
  dv: i32;
  /** Pairs of a key that turn. */
  angleCount: i32;
  angleIn: usize;
  kIn: usize;
  vIn: usize;
  angleOut: usize;
  kOut: usize;
  vOut: usize;
  qTurned: usize;
  kTurned: usize;
  g: usize;
  weight: usize;
  own: usize;
  kBefore: usize;
  vBefore: usize;
  weightBefore: usize;
}


@unmanaged
export class CopyParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  length: i32;
  heads: i32;
  d: i32;
}

/** Rows of chosen tokens, see elementwise/gather.ts. */
@unmanaged
export class GatherParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideM: i32;
  xStrideH: i32;
  xType: i32;
  rows: usize;
  o: usize;
  length: i32;
  heads: i32;
  d: i32;
}


@unmanaged
export class CombineParams {
  x: usize;
  offsets: usize;
  entries: usize;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  length: i32;
  heads: i32;
  d: i32;
}


@unmanaged
export class NarrowParams extends CopyParams {
  oType: i32;
}


@unmanaged
export class WeightsParams {
  scores: usize;
  n: i32;
}


@unmanaged
export class BinaryParams {
  a: usize;
  b: usize;
  o: usize;
  n: i32;
  /** b repeats after this many elements. */
  period: i32;
  /** 0: a + b, 1: a * b. */
  operation: i32;
}


@unmanaged
export class CumsumParams {
  x: usize;
  /** f64 */
  o: usize;
  /** Factor on every sum. */
  factor: f32;
  length: i32;
  heads: i32;
}


@unmanaged
export class NormParams {
  x: usize;
  weight: usize;
  bias: usize;
  o: usize;
  n: i32;
  epsilon: f32;
  /** 1: the mean is subtracted first. */
  centered: i32;
}


@unmanaged
export class RopeParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  cos: usize;
  sin: usize;
  /** Strides of cos and sin. */
  angleStrideB: i32;
  angleStrideT: i32;
  /** i32 [B, T] row of cos and sin, in place of t; 0: none. */
  positions: usize;
  positionsStrideB: i32;
  length: i32;
  heads: i32;
  d: i32;
  /** Elements that are rotated: the first ones of a head. */
  rotated: i32;
  interleaved: i32;
}


@unmanaged
export class ProbeParams {
  address: usize;
  steps: i32;
}
