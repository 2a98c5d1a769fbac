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
  /** [B, Tk, kRestDim], stored as k: the last elements of every head's keys; k has those before them. Not with pages. */
  kRest: usize;
  kRestStrideB: i32;
  kRestStrideT: i32;
  kRestDim: i32;
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

/** Keys and values to be rounded, see flash/pack-quantised.ts. */
@unmanaged
export class FlashQuantiseParams extends FlashPackParams {
  /** One of flash/quantization.ts. */
  quantization: i32;
  /** Rounded numbers of a key; 0 for codes. */
  depth: i32;
  /** f32 [sequences, Hkv, dk], absent where keys keep their mean. */
  kMeans: usize;
  /** f32 [sequences, Hkv, dv], absent where values keep their mean. */
  vMeans: usize;
  /** f32 [sequences, Hkv, dv] largest magnitudes of values, less the mean if it is taken off. */
  vMost: usize;
  /** 1: keys are turned by a Hadamard matrix. */
  hadamard: i32;
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
  /** 0 where one factor of a head serves the whole batch. */
  outScaleStrideB: i32;
  /** 1: add to o instead of overwriting it; 2: join o and lse, which hold the result over other keys. */
  accumulate: i32;
  /** i32 [B, Tq] and [B, Tk]: places of queries and keys; absent, query i is at i + offset and key j at j. */
  qPositions: usize;
  qPositionsStrideB: i32;
  kPositions: usize;
  kPositionsStrideB: i32;
  /** 1: the score of a key at its query's own place is selfScore, in natural units. */
  hasSelfScore: i32;
  selfScore: f32;
}


@unmanaged
export class FlashParams extends AttentionParams {
  kPack: usize;
  vPack: usize;
  kNorms: usize;
  blocks: i32;
  /** Query rows of one work item. */
  blockQ: i32;
  /** Second query of parallax attention, strided as q. */
  r: usize;
  /** Block lists: i32 [B or 1, listHeads] number of the list; list l of listHeads serves heads from l * heads / listHeads on. */
  listOf: usize;
  listOfStrideB: i32;
  listHeads: i32;
  /** i32 [lists, listBlocks] first entry of a query block, and one number more that closes the last. */
  listRows: usize;
  listBlocks: i32;
  /** i32 [entries, 2]: key block, and its tile or -1 where every row sees all of it. */
  listEntries: usize;
  /** u64 [tiles, blockQ]: bit j of a row shows key j of the block. */
  listTiles: usize;
  /** Selection: i32 [B or 1, lists, rows, words] bits; bit j of a query's row shows the keys of bit j. */
  selected: usize;
  selectedStrideB: i32;
  selectedLists: i32;
  selectedRows: i32;
  selectedWords: i32;
  /** Queries of a row, keys of a bit. */
  queryBlock: i32;
  keyBlock: i32;
  /** i32 [B or 1, lists, Tq] row of each query, i32 [B or 1, lists, Tk] bit of each key, in place of the two above. */
  queryLabels: usize;
  queryLabelsStrideB: i32;
  queryLabelsStrideL: i32;
  keyLabels: usize;
  keyLabelsStrideB: i32;
  keyLabelsStrideL: i32;
  /** With positions: places visible before and after a query's own; negative: no limit. The window is unlimited then. */
  placesLeft: i32;
  placesRight: i32;
  /** 1: a row passes over 64 keys whose scores are all skipBelow or more below its largest so far; log2 units. */
  hasSkip: i32;
  skipBelow: f32;
  /** One of flash/quantization.ts. */
  quantization: i32;
  /** Rounded numbers of a query and a key, where products are of those; else 0. */
  depth: i32;
  /** f32 [sequences, Hkv, dk] means that were taken off the keys. */
  kMeans: usize;
  /** Quantised: f32 [sequences, Hkv, dv] means that were taken off the values. */
  vMeans: usize;
  /** 1: the engine's relaxed dot products of 8-bit integers were found to be right. */
  relaxedDot: i32;
  /** 1: queries and keys were turned by a Hadamard matrix. */
  hadamard: i32;
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

/** Attention on keys and values that are sums of outer products, see decode/tensor-product.ts. k and v are their row factors. */
@unmanaged
export class TensorProductParams extends DecodeParams {
  /** Queries of the longest sequence. */
  queries: i32;
  /** Ranks of queries, keys and values. */
  rankQ: i32;
  rankK: i32;
  rankV: i32;
  /** Head factors of queries; absent, q has whole queries and rankQ is the number of heads. */
  aQ: usize;
  aQStrideB: i32;
  aQStrideT: i32;
  aQStrideR: i32;
  aQType: i32;
  aK: usize;
  aKStrideB: i32;
  aKStrideT: i32;
  aKStrideR: i32;
  aKType: i32;
  aV: usize;
  aVStrideB: i32;
  aVStrideT: i32;
  aVStrideR: i32;
  aVType: i32;
}

/** Sums of outer products, see elementwise/outer-sum.ts. */
@unmanaged
export class OuterSumParams {
  a: usize;
  aStrideB: i32;
  aStrideT: i32;
  aStrideR: i32;
  aType: i32;
  b: usize;
  bStrideB: i32;
  bStrideT: i32;
  bStrideR: i32;
  bType: i32;
  /** Contiguous. */
  o: usize;
  length: i32;
  rank: i32;
  heads: i32;
  d: i32;
  scale: f32;
}

/** Attention of every query on its own list of keys, see decode/index-attend.ts. */
@unmanaged
export class IndexAttendParams extends AttentionParams {
  indices: usize;
  indexStrideB: i32;
  indexStrideL: i32;
  indexStrideT: i32;
  counts: usize;
  countStrideB: i32;
  countStrideL: i32;
  countStrideT: i32;
  /** Query heads that share a list. */
  listGroup: i32;
  /** Query heads of a work item: they share a list and a key/value head. */
  rows: i32;
  /** Queries of a work item. */
  blockQ: i32;
  /** Keys that all queries of an item go through before the next ones. */
  spanKeys: i32;
  /** Queries with keys in a span from which on it is read whole before it is used; 0: never. */
  readWhole: i32;
  /** f32 like indices, added to the scores of the entries; 0: none. */
  entryBias: usize;
}

/** Sums of branches by gates, see elementwise/blend.ts. */
@unmanaged
export class BlendParams {
  x: usize;
  row: usize;
  gate: usize;
  /** 1: a gate for each element. */
  wideGate: i32;
  o: usize;
  /** 1: add to o instead of overwriting it. */
  add: i32;
  length: i32;
  /** Rows of x of one batch entry. */
  rows: i32;
  heads: i32;
  d: i32;
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
  /** Absent: a batch entry is a sequence. */
  sequences: usize;
  sequenceCount: i32;
  /** Tokens of a batch entry. */
  length: i32;
  /** Value heads, and how many share a key head. */
  heads: i32;
  group: i32;
  dk: i32;
  dv: i32;
  /** Heads and columns of one work item. */
  blockH: i32;
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
  /** Tokens to a gate, the first of which decays; 0 counts as 1. */
  gateEvery: i32;
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
  inStrideN: i32;
  inStrideH: i32;
  inStrideK: i32;
  inStrideV: i32;
  stateOut: usize;
  stateStrideN: i32;
  stateStrideH: i32;
  stateStrideK: i32;
  stateStrideV: i32;
  zIn: usize;
  zOut: usize;
  /** f32 [N, HV, K]: decay of the rows from before the first token to after the last. */
  decayOut: usize;
}

/** The delta rule and its kin, see delta/delta.ts; weight is beta. */
@unmanaged
export class DeltaParams extends LinearParams {
  a: usize;
  aStrideB: i32;
  aStrideT: i32;
  aStrideH: i32;
  aType: i32;
  b: usize;
  bStrideB: i32;
  bStrideT: i32;
  bStrideH: i32;
  bType: i32;
  /** Value heads that share a head of k, a and b. */
  keyGroup: i32;
  aGroup: i32;
  bGroup: i32;
  /** 1: a reads the state before the token's decay. */
  readsOld: i32;
  /** 1: q, k and an absent a are divided by their norms. */
  normalized: i32;
  normEpsilon: f32;
  /** Tokens to an output. */
  substeps: i32;
  written: usize;
  writtenStrideB: i32;
  writtenStrideT: i32;
  writtenStrideH: i32;
  snapshots: usize;
  snapshotEvery: i32;
  /** Snapshots of a sequence in memory. */
  snapshotCount: i32;
}


@unmanaged
export class JoinSegmentParams {
  state: usize;
  decay: usize;
  update: usize;
  /** Columns of a row. */
  dv: i32;
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
export class StabilizerParams {
  i: usize;
  f: usize;
  m: usize;
  g: usize;
  w: usize;
  mIn: usize;
  mOut: usize;
  sequences: usize;
  length: i32;
  heads: i32;
}


@unmanaged
export class TimeStepParams {
  x: usize;
  bias: usize;
  a: usize;
  o: usize;
  g: usize;
  heads: i32;
  softplus: i32;
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

/** Rows put back at tokens, see elementwise/scatter.ts. */
@unmanaged
export class ScatterParams {
  x: usize;
  rows: usize;
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

/** Keys and values put into the pages of a cache, see elementwise/store-pages.ts. */
@unmanaged
export class StorePagesParams {
  k: usize;
  kStrideT: i32;
  kStrideH: i32;
  v: usize;
  vStrideT: i32;
  vStrideH: i32;
  heads: i32;
  d: i32;
  /** Storage type of the pages' rows. */
  type: i32;
  kRows: usize;
  vRows: usize;
  /** Elements between pages. */
  rowStride: i32;
  /** For i8. */
  kScale: usize;
  vScale: usize;
  /** Floats between pages. */
  scaleStride: i32;
  table: usize;
  tableStrideH: i32;
  pageSize: i32;
  /** Slot of the first token. */
  first: i32;
  /** f32 [H, d] that is taken from every key. */
  shift: usize;
}

/** An expression of every element of a map, see elementwise/expression.ts. */
@unmanaged
export class ExpressionParams {
  code: usize;
  instructions: i32;
  /** Instructions at the beginning that fill registers with constants. */
  constants: i32;
  registers: i32;
  /** The register that holds the result. */
  result: i32;
  x: usize;
  xStrideB: i32;
  xStrideH: i32;
  xStrideT: i32;
  o: usize;
  oStrideB: i32;
  oStrideH: i32;
  oStrideT: i32;
  heads: i32;
  rows: i32;
  columns: i32;
}

/** Pseudo-inverses of matrices, see lowrank/pseudo-inverse.ts. */
@unmanaged
export class PseudoInverseParams {
  k: usize;
  most: usize;
  o: usize;
  matrices: i32;
  n: i32;
  iterations: i32;
  /** 1: the largest divisor is that of all matrices. */
  shared: i32;
}

/** A convolution around every token, see conv/centered.ts. */
@unmanaged
export class CenteredConvParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  weight: usize;
  length: i32;
  heads: i32;
  d: i32;
  taps: i32;
}

/** Several attention results as one, see decode/merge-parts.ts. */
@unmanaged
export class MergePartsParams {
  parts: usize;
  lseParts: usize;
  o: usize;
  lse: usize;
  count: i32;
  d: i32;
}

/** Centroids moved towards their members, see select/centroid-average.ts. */
@unmanaged
export class CentroidAverageParams {
  centroids: usize;
  sums: usize;
  o: usize;
  batch: i32;
  count: i32;
  heads: i32;
  d: i32;
  decay: f32;
}

/** Two numbers of each bin of tokens, see gate/adaptive.ts. */
@unmanaged
export class AdaptivePoolParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  mean: usize;
  bins: usize;
  o: usize;
  d: i32;
  count: i32;
}

/** A gate for each head, see gate/adaptive.ts. */
@unmanaged
export class AdaptiveGateParams {
  pooled: usize;
  featureWeight: usize;
  featureBias: usize;
  normWeight: usize;
  normBias: usize;
  complexityWeight1: usize;
  complexityBias1: usize;
  complexityWeight2: usize;
  complexityBias2: usize;
  confidenceWeight1: usize;
  confidenceBias1: usize;
  confidenceWeight2: usize;
  confidenceBias2: usize;
  threshold: usize;
  temperature: usize;
  gate: usize;
  complexities: usize;
  confidences: usize;
  features: i32;
  hidden: i32;
  inner: i32;
  heads: i32;
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

/** A run of tokens that one work item of a scan goes through, with the states before and after: a table of these. */
@unmanaged
export class Segment {
  /** First row, the batch's counted in, and number of rows. */
  row: i32;
  length: i32;
  /** Which initial state it starts from; negative: zeros. */
  initial: i32;
  /** Which state it ends with. */
  state: i32;
  /** 1: a sequence begins with it. */
  first: i32;
}

/** What the scans over [tokens, channels] share. */
@unmanaged
export class ScanStateParams {
  /** Table of Segment. */
  segments: usize;
  channels: i32;
  /** Channels of one work item, a multiple of 4. */
  block: i32;
  /** f32 states before and after; initial may be the final ones, or absent. */
  initial: usize;
  final: usize;
}


@unmanaged
export class ScanParams extends ScanStateParams {
  x: usize;
  /** Log gates; of rgLru the recurrent gate. */
  g: usize;
  /** rgLru: input gate and recurrent parameter. */
  inputGate: usize;
  recurrentParam: usize;
  c: f32;
  /** rgLru, 1: the first token of a sequence enters as it is, and the state before it is forgotten. */
  reset: i32;
  o: usize;
  /** f32 [tokens, channels]: product of the decays of a segment so far, to write; absent: not wanted. */
  running: usize;
}


@unmanaged
export class SelectiveScanParams extends ScanStateParams {
  u: usize;
  delta: usize;
  a: usize;
  b: usize;
  c: usize;
  d: usize;
  z: usize;
  deltaBias: usize;
  softplus: i32;
  /** Length of a channel's state. */
  n: i32;
  o: usize;
  /** f32 [tokens, channels]: sum of the step sizes of a segment so far, to write; absent: not wanted. */
  running: usize;
}

/** Joins the states of the segments of a sequence: `initial` holds what `final` of the scan was. */
@unmanaged
export class ScanCombineParams extends ScanStateParams {
  /** i32 [sequences, 2]: first segment and number of segments. */
  sequences: usize;
  running: usize;
  /** Of a selective scan; absent: running holds decays itself. */
  a: usize;
  n: i32;
}


@unmanaged
export class Rwkv4Params extends ScanStateParams {
  k: usize;
  v: usize;
  w: usize;
  u: usize;
  o: usize;
  /** initial and final are the numerators; these the denominators and maxima. */
  initialDen: usize;
  initialMax: usize;
  finalDen: usize;
  finalMax: usize;
}


@unmanaged
export class LogSumParams extends ScanStateParams {
  x: usize;
  /** z_t, z_{t-1} - z_t and e^{x_t - z_t}; each may be absent. */
  o: usize;
  decay: usize;
  w: usize;
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

/** What the feature maps share: rows x of d elements to rows o of `features` elements. */
@unmanaged
export class FeatureParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  o: usize;
  length: i32;
  heads: i32;
  d: i32;
  features: i32;
}


@unmanaged
export class PointwiseParams extends FeatureParams {
  /** Number of the function, as in features/pointwise.ts. */
  map: i32;
  /** Factor on its result. */
  factor: f32;
  /** Elements of o: the last row may be shorter. */
  size: i32;
}


@unmanaged
export class FeatureSoftmaxParams extends FeatureParams {
  scale: f32;
  /** 1: over [x, -x]. */
  mirrored: i32;
}


@unmanaged
export class L2NormParams extends FeatureParams {
  epsilon: f32;
  /** The least norm that is divided by. */
  floor: f32;
}

/** Rows times gates, see delta/row-products.ts. */
@unmanaged
export class RowProductsParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  y: usize;
  yStrideB: i32;
  yStrideT: i32;
  yStrideH: i32;
  /** y is one number for a row. */
  ySplat: i32;
  base: usize;
  baseStrideB: i32;
  baseStrideT: i32;
  baseStrideH: i32;
  baseType: i32;
  o: usize;
  length: i32;
  heads: i32;
  d: i32;
  factor: f32;
}

/** Keys and their curvature, see delta/precondition.ts. */
@unmanaged
export class PrecondParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  g: usize;
  gStrideB: i32;
  gStrideT: i32;
  gStrideH: i32;
  beta: usize;
  betaStrideB: i32;
  betaStrideT: i32;
  betaStrideH: i32;
  terms: usize;
  gates: usize;
  a: usize;
  c: usize;
  o: usize;
  length: i32;
  heads: i32;
  d: i32;
  center: f32;
  logX: f32;
  epsilon: f32;
}

/** Rows k of d elements become keys o, as feature rows do. */
@unmanaged
export class RodimusParams extends FeatureParams {
  gate: usize;
  gateStrideB: i32;
  gateStrideT: i32;
  gateStrideH: i32;
  tau: usize;
  tauStrideB: i32;
  tauStrideT: i32;
  tauStrideH: i32;
  decay: usize;
}


@unmanaged
export class FocusedParams extends FeatureParams {
  power: f32;
}


@unmanaged
export class PolynomialParams extends FeatureParams {
  /** Element of a feature row where each part begins; negative: the part is absent. */
  constantAt: i32;
  linearAt: i32;
  squareAt: i32;
  productAt: i32;
  /** Factors of the parts. */
  constant: f32;
  linear: f32;
  square: f32;
  product: f32;
  /** 1: the products are x_i x_j for all i and j, 0: for i < j. */
  full: i32;
}


@unmanaged
export class CosineParams extends FeatureParams {
  /** f32 [T] */
  cos: usize;
  sin: usize;
}


@unmanaged
export class DpfpParams extends FeatureParams {
  shifts: i32;
}


@unmanaged
export class FavorParams extends FeatureParams {
  /** Factor on the projections, and on |x|^2. */
  scale: f32;
  square: f32;
  /** Factor on the features, and what each exponential is raised by first. */
  ratio: f32;
  epsilon: f32;
  /** 0: the constant below, 1: a row's maximum, 2: the maximum of a (batch, head). */
  stabilizer: i32;
  constant: f32;
  /** f32 [B, H] */
  maxima: usize;
  /** 1: max(x, 0) in place of e^x. */
  relu: i32;
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
export class CausalConvParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  weight: usize;
  bias: usize;
  initialState: usize;
  finalState: usize;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  sequences: usize;
  sequenceCount: i32;
  channels: i32;
  taps: i32;
  /** Rows of one work item, at least taps. */
  blockT: i32;
  /** Channels of one work item, a multiple of 4. */
  blockD: i32;
  /** As in GemmParams. */
  activation: i32;
}


@unmanaged
export class DepthwiseConv2dParams {
  x: usize;
  weight: usize;
  bias: usize;
  o: usize;
  height: i32;
  width: i32;
  channels: i32;
  kh: i32;
  kw: i32;
}


@unmanaged
export class DiagonalTableParams {
  aReal: usize;
  aImag: usize;
  logDt: usize;
  c: usize;
  table: usize;
  /** Complex states of one channel. */
  states: i32;
  /** 0: zero-order hold, 1: bilinear, 2: softmax over `span` steps. */
  rule: i32;
  span: i32;
  /** Added to squared sizes that are divided by, for rule 2. */
  eps: f32;
  /** Factor on c. */
  factor: f32;
}


@unmanaged
export class DiagonalKernelParams extends DiagonalTableParams {
  state: usize;
  o: usize;
  channels: i32;
  length: i32;
}


@unmanaged
export class DiagonalStateParams extends DiagonalTableParams {
  u: usize;
  uStrideB: i32;
  uStrideT: i32;
  initialState: usize;
  finalState: usize;
  batch: i32;
  length: i32;
  channels: i32;
}


@unmanaged
export class DiagonalScanParams {
  u: usize;
  uStrideB: i32;
  uStrideT: i32;
  table: usize;
  initialState: usize;
  finalState: usize;
  d: usize;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  sequences: usize;
  sequenceCount: i32;
  channels: i32;
  states: i32;
  /** Channels of one work item. */
  blockD: i32;
}


@unmanaged
export class FftConvParams {
  u: usize;
  uStrideB: i32;
  uStrideT: i32;
  kernel: usize;
  kernelStride: i32;
  taps: i32;
  d: usize;
  added: usize;
  addedStride: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  twiddles: usize;
  batch: i32;
  length: i32;
  channels: i32;
  /** Complex elements of a transform: half the real points. */
  m: i32;
  /** Parts that the batch is split into. */
  parts: i32;
}


@unmanaged
export class NplrKernelParams {
  aReal: usize;
  aImag: usize;
  p: usize;
  b: usize;
  c: usize;
  logDt: usize;
  tangents: usize;
  twiddles: usize;
  roots: usize;
  o: usize;
  channels: i32;
  states: i32;
  length: i32;
  /** length / 2, or 0 for the direct sum. */
  m: i32;
}

/** One layer of a network of fast weights: a table of these. */
@unmanaged
export class FastLayer {
  din: i32;
  dout: i32;
  /** 1: it has a bias. */
  bias: i32;
}

/** Weights f32 [N, H, din, dout] and biases f32 [N, H, dout] of a layer, those of a head contiguous: six of these for each layer. */
@unmanaged
export class FastWeights {
  w: usize;
  /** Elements from the weights of one head to those of the next. */
  wStride: i32;
  b: usize;
  bStride: i32;
}

/** Fast weights, see fastweight/fast-weight.ts. */
@unmanaged
export class FastWeightParams {
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
  /** Learning rates of TTT, momentum of Titans. */
  eta: usize;
  etaStrideB: i32;
  etaStrideT: i32;
  etaStrideH: i32;
  theta: usize;
  thetaStrideB: i32;
  thetaStrideT: i32;
  thetaStrideH: i32;
  alpha: usize;
  alphaStrideB: i32;
  alphaStrideT: i32;
  alphaStrideH: i32;
  /** `offset` of a sequence: its place in the mini-batch. */
  sequences: usize;
  sequenceCount: i32;
  heads: i32;
  /** Heads of one work item. */
  blockH: i32;
  /** Elements of q, k, v and o. */
  d: i32;
  layers: usize;
  /** FastWeights [layerCount, 6]: weights before and after, gradients or momentum before and after, weights at the start before and after. */
  weights: usize;
  layerCount: i32;
  /** 128 bytes for each layer, to lay out its scratch in while that is measured. */
  records: usize;
  /** Between layers; 1: relu, 2: silu, 3: gelu by its tanh form. */
  activation: i32;
  /** Tokens whose gradients are taken at the same weights. */
  miniBatch: i32;
  /** Which rule; 0: the query's rate, 1: the key's rate times a factor of the query's place, 2: momentum and decay, 3: nothing is learnt. */
  rule: i32;
  /** f32 [miniBatch]: factors of the places. */
  tokenIdx: usize;
  /** f32 [H, d]; both present, or neither. */
  lnWeight: usize;
  lnBias: usize;
  eps: f32;
  scale: f32;
  /** 1: the target is v - k, and not v. */
  residualTarget: i32;
  /** Added to the output; 0: nothing, 1: what the network gives, 2: the query. */
  residual: i32;
  /** 1: the mini-batch ends with the sequence. */
  flush: i32;
  /** i32 [N] */
  positionOut: usize;
  /** On a GPU: the longest row, biases counted in, and elements of a head's weights, rows and columns to whole vectors. */
  widest: i32;
  roomy: i32;
}

/** SwiGLU fast weights, see fastweight/swiglu.ts. */
@unmanaged
export class SwigluParams {
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
  /** Learning rates of w0, w1, w2. */
  lr0: usize;
  lr0StrideB: i32;
  lr0StrideT: i32;
  lr0StrideH: i32;
  lr1: usize;
  lr1StrideB: i32;
  lr1StrideT: i32;
  lr1StrideH: i32;
  lr2: usize;
  lr2StrideB: i32;
  lr2StrideT: i32;
  lr2StrideH: i32;
  /** f32 [B, T, H]: what of a chunk's momentum stays, averaged over it; absent without momentum. */
  momentum: usize;
  momentumStrideB: i32;
  momentumStrideT: i32;
  momentumStrideH: i32;
  /** `offset` of a sequence: its place in the chunk. */
  sequences: usize;
  sequenceCount: i32;
  heads: i32;
  /** Elements of q and k, between the layers, of v and o. */
  dk: i32;
  dh: i32;
  dv: i32;
  chunk: i32;
  /** 1: updates are made orthogonal. */
  muon: i32;
  /** f32 [N, H, dh, dk], [N, H, dv, dh], [N, H, dh, dk] before and after. */
  w0In: usize;
  w1In: usize;
  w2In: usize;
  w0Out: usize;
  w1Out: usize;
  w2Out: usize;
  /** f32 [N, H, dh + dv + dh]: norms of the rows of w0, w1, w2 that they keep; made of the weights where there are none. */
  normsIn: usize;
  normsOut: usize;
  /** f32 [N, H, (2 dk + dv) dh]: gradients of the chunk so far, as w0, w1, w2; the momentum, likewise. */
  gradientIn: usize;
  gradientOut: usize;
  momentumIn: usize;
  momentumOut: usize;
  /** f32 [N, H]: sum of the chunk's momentum factors so far. */
  factorIn: usize;
  factorOut: usize;
  /** i32 [N] */
  positionOut: usize;
}


@unmanaged
export class ProbeParams {
  address: usize;
  steps: i32;
}

/** Unit lower triangular systems, see delta/trisolve.ts. */
@unmanaged
export class TriSolveParams {
  a: usize;
  aStrideB: i32;
  aStrideT: i32;
  aType: i32;
  b: usize;
  bStrideB: i32;
  bStrideT: i32;
  bType: i32;
  x: usize;
  n: i32;
  columns: i32;
}

/** What the blocks of PaTH attention are prepared from and leave behind, see delta/path-blocks.ts. */
@unmanaged
export class PathBlocksParams {
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
  w: usize;
  wStrideB: i32;
  wStrideT: i32;
  wStrideH: i32;
  wType: i32;
  beta: usize;
  betaStrideB: i32;
  betaStrideT: i32;
  betaStrideH: i32;
  sequences: usize;
  sequenceCount: i32;
  kvHeads: i32;
  group: i32;
  dk: i32;
  /** Packed 64-key blocks of one head, all sequences together, and those of a span. */
  blocks: i32;
  spanBlocks: i32;
  /** Spans of one head. */
  spans: i32;
  /** Factor on q. */
  scale: f32;
  qCarried: usize;
  local: usize;
  kBlock: usize;
  kSpan: usize;
  carryBlock: usize;
  carrySpan: usize;
}

/** PaTH attention over prepared blocks, see delta/path.ts. `kPack` holds keys carried to the ends of spans. */
@unmanaged
export class PathParams extends FlashParams {
  spanBlocks: i32;
  spans: i32;
  qCarried: usize;
  local: usize;
  kBlock: usize;
  carryBlock: usize;
  carrySpan: usize;
}

/** DeltaFormer over packed keys, see delta/deltaformer.ts. `vPack` takes the new values, packed by query head. */
@unmanaged
export class DeltaformerParams extends FlashParams {
  beta: usize;
  betaStrideB: i32;
  betaStrideT: i32;
  betaStrideH: i32;
}

/** MesaNet, see fastweight/mesa.ts. */
@unmanaged
export class MesaParams {
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
  beta: usize;
  betaStrideB: i32;
  betaStrideT: i32;
  betaStrideH: i32;
  g: usize;
  gStrideB: i32;
  gStrideT: i32;
  gStrideH: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  lamb: usize;
  sequences: usize;
  sequenceCount: i32;
  heads: i32;
  dk: i32;
  dv: i32;
  maxIterations: i32;
  tolerance: f32;
  /** 1: iterations start from q / (diagonal of H_kk + lamb), not from 0. */
  jacobi: i32;
  /** Tokens of one work item, a multiple of the chunk. */
  segment: i32;
  /** f32 [items of mesa, dk, dk + dv] states before segments but the first of a sequence. */
  segmentStates: usize;
  kkIn: usize;
  kvIn: usize;
  kkOut: usize;
  kvOut: usize;
}

/** Rows of numbers for pairs of rows and columns, see select/visible.ts. */
@unmanaged
export class MapParams {
  /** f32 [B, lists, rows, columns], columns contiguous. */
  map: usize;
  mapStrideB: i32;
  mapStrideH: i32;
  mapStrideR: i32;
  lists: i32;
  rows: i32;
  columns: i32;
  /** Row i sees columns [0, floor((i * mul + add) / div)). */
  visibleMul: i32;
  visibleAdd: i32;
  visibleDiv: i32;
}

/** Weights between a row's least and largest score, see select/min-max.ts. */
@unmanaged
export class MinMaxParams extends MapParams {
  own: usize;
  shares: usize;
  level: f32;
}

/** Bits as numbers, see select/bit-weights.ts. */
@unmanaged
export class BitWeightsParams {
  bits: usize;
  words: i32;
  weights: usize;
  columns: i32;
  /** The bit that becomes 1. */
  value: i32;
}

/** Keys of which several in a row are one column, see select/interleaved-pack.ts. */
@unmanaged
export class InterleavedPackParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  kPack: usize;
  kvHeads: i32;
  length: i32;
  d: i32;
  /** Keys of a column. */
  interleave: i32;
}

/** Sums of attention weights, see select/weight-sums.ts; lists are query heads, and the map itself is never written out. */
@unmanaged
export class WeightSumsParams extends MapParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  kPack: usize;
  /** Absent: not wanted. */
  columnSums: usize;
  diagonalSums: usize;
  /** i32 [lists]: so many sums at the start of a row are Infinity; absent: none are. */
  firstColumns: usize;
  firstDiagonals: usize;
  /** Queries. */
  length: i32;
  /** Query heads that share one key head. */
  group: i32;
  d: i32;
  /** Queries of a row, keys of a column. */
  interleave: i32;
  /** Rows and columns that are added up. */
  rowGroup: i32;
  columnGroup: i32;
  scale: f32;
  /** Rows of a pass: a multiple of the tile's. */
  passRows: i32;
  /** Groups of rows of an item. */
  itemGroups: i32;
}

/** How alike the rows of blocks are, see select/self-similarity.ts. */
@unmanaged
export class SelfSimilarityParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  mean: usize;
  o: usize;
  length: i32;
  heads: i32;
  d: i32;
  block: i32;
}

/** Blocks that are not alike in themselves, see select/dissimilar.ts. */
@unmanaged
export class DissimilarParams extends MapParams {
  /** f32 [B, rows, lists] and [B, columns, lists / group]. */
  alikeQ: usize;
  alikeK: usize;
  /** f32 [lists] */
  theta: usize;
  group: i32;
  /** i32 [B, lists, rows, words] */
  bits: usize;
  words: i32;
  /** 1: column 0 is shown to all rows. */
  sink: i32;
}

/** How many numbers hold a share, see select/cover-count.ts. */
@unmanaged
export class CoverCountParams extends MapParams {
  /** i32 [B, lists, rows] */
  o: usize;
  /** f32 [lists] share of each list; absent: level for all. */
  shares: usize;
  level: f32;
  add: i32;
  div: i32;
  plus: i32;
  least: i32;
  most: i32;
}

/** FlexPrefill's query-aware heads, see select/query-aware.ts. */
@unmanaged
export class QueryAwareParams {
  guess: usize;
  sums: usize;
  aware: usize;
  budgets: usize;
  /** Batch * heads. */
  lists: i32;
  columns: i32;
  /** Rows that sums are over. */
  count: i32;
  least: i32;
  tau: f32;
}

/** Blocks of columns, diagonals and pairs, see select/stripe-blocks.ts. */
@unmanaged
export class StripeBlocksParams {
  columns: usize;
  diagonals: usize;
  pairs: usize;
  aware: usize;
  bits: usize;
  rows: i32;
  words: i32;
}

/** Blocks that diagonals pass, see select/slash-blocks.ts. */
@unmanaged
export class SlashBlocksParams {
  /** i32 [lists] */
  patterns: usize;
  slashes: usize;
  slashWords: i32;
  chosen: usize;
  bits: usize;
  lists: i32;
  rows: i32;
  words: i32;
  queries: i32;
  /** Bits of a row of slashes. */
  distances: i32;
  /** Place of query 0. */
  offset: i32;
  queryBlock: i32;
  keyBlock: i32;
}

/** Which rows see gathered columns, see select/gathered-bits.ts. */
@unmanaged
export class GatheredBitsParams {
  indices: usize;
  counts: usize;
  blocks: usize;
  blockWords: i32;
  bits: usize;
  places: usize;
  rows: i32;
  n: i32;
  queries: i32;
  /** Place of query 0. */
  offset: i32;
  queryBlock: i32;
  keyBlock: i32;
  lists: i32;
  /** i32 [lists]: how far before a query a column must be at least. */
  shifts: usize;
}

/** Maps and labels of clusters, see select/cluster-maps.ts. */
@unmanaged
export class ClusterMapParams extends MapParams {
  /** i32 [B, lists / group, columns] counts, or [B, lists / group, columns + 1] offsets. */
  counts: usize;
  group: i32;
  /** i32 [B, lists, length] */
  labels: usize;
  length: i32;
}

/** Pooled rows, see select/pool.ts. */
@unmanaged
export class PoolParams {
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
  /** Tokens of a block; blocks, or labels. */
  block: i32;
  count: i32;
  /** One of the kinds of select/reduction.ts. */
  kind: i32;
  /** i32 [B, lists, T]; counts i32 [B, H, count]. */
  labels: usize;
  labelsStrideB: i32;
  labelsStrideH: i32;
  lists: i32;
  counts: usize;
  /** f32 [B, count, H, d]: what a label without rows becomes; absent: zeros. */
  fallback: usize;
  fallbackStrideB: i32;
  fallbackStrideT: i32;
  fallbackStrideH: i32;
}

/** Keys in panels, see select/score-pack.ts. */
@unmanaged
export class ScorePackParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  kPack: usize;
  kvHeads: i32;
  columns: i32;
  d: i32;
}

/** Products of queries and packed keys, see select/score-map.ts. */
@unmanaged
export class ScoreMapParams extends MapParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  kPack: usize;
  heads: i32;
  /** Query heads that share one key head. */
  group: i32;
  d: i32;
  scale: f32;
  /** Rows of an item. */
  blockRows: i32;
  /** f32 [B, rows, heads] of the indexer; absent: a map for every head. */
  weights: usize;
  weightsStrideB: i32;
  weightsStrideT: i32;
  weightsStrideH: i32;
  /** f32 [B, heads]: a list whose share is 0 is left as it is; absent: none. */
  shares: usize;
  sharesStrideB: i32;
}

/** Scores of few queries and keys that stay where they are, see select/score-few.ts. */
@unmanaged
export class ScoreFewParams extends ScoreMapParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  /** Columns of an item. */
  blockColumns: i32;
}

/** Softmax of a map's rows, see select/softmax-map.ts. */
@unmanaged
export class SoftmaxMapParams extends MapParams {
  scale: f32;
}

/** Groups of heads, rows and columns of a map, see select/reduce-map.ts. */
@unmanaged
export class ReduceMapParams extends MapParams {
  /** f32 [B, lists / groupHeads, outRows, outColumns], contiguous. */
  o: usize;
  groupHeads: i32;
  groupRows: i32;
  groupColumns: i32;
  outRows: i32;
  outColumns: i32;
  kind: i32;
}

/** Columns chosen in each row of a map, see select/top-k.ts, top-p.ts and above.ts. */
@unmanaged
export class SelectParams extends MapParams {
  /** i32 [B, lists, rows, words], rows contiguous. */
  bits: usize;
  /** Words from one list to the next. */
  bitsStride: i32;
  words: i32;
  /** Visible columns at the start and the end of a row that are chosen in any case. */
  first: i32;
  last: i32;
  /** One of the ways of select/forced.ts. */
  forced: i32;
  /** 1: a list is chosen from as one. */
  whole: i32;
  /** Columns of top-k; least number of top-p. */
  k: i32;
  /** Share of top-p; threshold of above. */
  level: f32;
  /** k (i32) or level (f32) of each row; absent: the same for all. */
  each: usize;
  eachStrideB: i32;
  eachStrideH: i32;
  eachStrideR: i32;
}

/** Sums along the diagonals of a map, see select/diagonal-sums.ts. */
@unmanaged
export class DiagonalSumsParams extends MapParams {
  /** f32 [B, lists, count], contiguous. */
  o: usize;
  count: i32;
  /** Column that is on diagonal 0 of row 0. */
  offset: i32;
}

/** Bits of rows, see select/bits.ts. */
@unmanaged
export class BitsParams {
  /** i32 [B, lists, rows, words], words contiguous. */
  a: usize;
  aStrideB: i32;
  aStrideH: i32;
  aStrideR: i32;
  b: usize;
  bStrideB: i32;
  bStrideH: i32;
  bStrideR: i32;
  lists: i32;
  rows: i32;
  words: i32;
  /** 0: a and b, 1: a or b, 2: a and not b. */
  operation: i32;
  /** i32 [B, lists, rows, words], or indices [B, lists, rows, capacity]; contiguous. */
  o: usize;
  capacity: i32;
  /** i32 [B, lists, rows], contiguous. */
  counts: usize;
}

/** Tokens of chosen blocks, see select/block-tokens.ts. */
@unmanaged
export class BlockTokensParams extends BitsParams {
  /** Tokens of a block, and in all. */
  keyBlock: i32;
  length: i32;
  /** Row i sees tokens [0, i * mul + add). */
  visibleMul: i32;
  visibleAdd: i32;
}

/** Tokens in the order of their labels, see select/sort.ts. */
@unmanaged
export class SortLabelsParams {
  labels: usize;
  labelsStrideB: i32;
  labelsStrideH: i32;
  lists: i32;
  length: i32;
  count: i32;
  /** i32 [B, lists, T] and [B, lists, count + 1], contiguous. */
  order: usize;
  offsets: usize;
}

/** Rows of heads in an order of their own, see select/gather.ts. */
@unmanaged
export class GatherHeadsParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  /** i32 [B, lists, n], last axis contiguous. */
  order: usize;
  orderStrideB: i32;
  orderStrideH: i32;
  /** f32 [B * groups, n, d], contiguous. */
  rows: usize;
  heads: i32;
  lists: i32;
  groups: i32;
  length: i32;
  n: i32;
  d: i32;
  /** Rows or tokens of an item. */
  span: i32;
  /** 0: the last row of a token stays, 1: their sum, 2: their mean. */
  combine: i32;
}

/** Rows hashed by projections, see select/hash.ts. */
@unmanaged
export class HashParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  /** f32 [H, d, rounds, directions]. */
  planes: usize;
  planesStrideH: i32;
  planesStrideD: i32;
  planesStrideR: i32;
  heads: i32;
  length: i32;
  d: i32;
  rounds: i32;
  directions: i32;
  /** Rows of an item. */
  blockRows: i32;
  /** 0: the direction that is nearest, or opposite; 1: a bit for each side. */
  signs: i32;
  /** i32 [B, H * rounds, T], contiguous. */
  labels: usize;
}

/** Nearest centroids, see select/nearest.ts. */
@unmanaged
export class NearestParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  /** As scorePack writes it. */
  cPack: usize;
  heads: i32;
  length: i32;
  d: i32;
  count: i32;
  blockRows: i32;
  /** 1: largest product instead of least distance. */
  dot: i32;
  /** i32 [B, H, T], contiguous. */
  labels: usize;
}

/** Slots that let tokens go, see evict/slots.ts: keys and values [B, slots, Hkv, width], the strides of T being the widths. */
@unmanaged
export class SlotParams extends CacheParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  newK: usize;
  newKStrideB: i32;
  newKStrideT: i32;
  newKStrideH: i32;
  newKType: i32;
  newV: usize;
  newVStrideB: i32;
  newVStrideT: i32;
  newVStrideH: i32;
  newVType: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  positions: usize;
  sums: usize;
  /** f32 [B, Hkv, slots, width]: room for slots of another type in f32; absent: they are widened for every query. */
  wideK: usize;
  wideV: usize;
  /** Slots that there are, and those in use before the first new token. */
  slots: i32;
  held: i32;
  /** Position of the first new token. */
  start: i32;
  tokens: i32;
  queries: i32;
  /** Slots held after a token, and newest tokens that stay in any case. */
  budget: i32;
  recent: i32;
  /** 1: weights of all queries are added up; 0: those of the newest count. */
  addSums: i32;
  kvHeads: i32;
  /** Key/value heads that let the same tokens go. */
  unitHeads: i32;
  /** Query heads of a key/value head. */
  group: i32;
  dk: i32;
  dv: i32;
  scale: f32;
  softcap: f32;
}

/** Positions as bits, see evict/position-bits.ts. */
@unmanaged
export class PositionBitsParams {
  positions: usize;
  stride: i32;
  count: i32;
  bits: usize;
  words: i32;
}

/** Votes for keys, see evict/pool-votes.ts. */
@unmanaged
export class PoolVotesParams {
  sums: usize;
  votes: usize;
  /** Query heads of a key/value head. */
  group: i32;
  length: i32;
  /** Keys that are voted on. */
  prefix: i32;
  /** Odd. */
  kernelSize: i32;
  /** 1: the largest of the neighbours, 0: their mean. */
  largest: i32;
}

/** Slots copied to others, see evict/gather-slots.ts. */
@unmanaged
export class GatherSlotsParams {
  x: usize;
  o: usize;
  indices: usize;
  slots: i32;
  outSlots: i32;
  count: i32;
  rowBytes: i32;
}

/** Heads whose attention is alike, see evict/head-clusters.ts. */
@unmanaged
export class HeadClustersParams {
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
  labels: usize;
  heads: i32;
  /** Query heads of a key head. */
  group: i32;
  d: i32;
  /** First tokens whose softmax rows are compared. */
  tokens: i32;
  clusters: i32;
  /** 1: a token does not see later ones. */
  causal: i32;
  scale: f32;
}

/** Heads in another order, see evict/put-heads.ts. */
@unmanaged
export class PutHeadsParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  oType: i32;
  order: usize;
  length: i32;
  heads: i32;
  d: i32;
}

/** Rows apart by sign, see select/signs.ts. */
@unmanaged
export class SignsParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  o: usize;
  length: i32;
  heads: i32;
  d: i32;
}

/** Bounds in 16 bits, see select/signs.ts. */
@unmanaged
export class OutwardParams {
  x: usize;
  o: usize;
  oStrideB: i32;
  oStrideH: i32;
  oStrideP: i32;
  heads: i32;
  pages: i32;
  d: i32;
}

/** Queries with their largest channels, see select/sparq.ts. */
@unmanaged
export class SparqQueryParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  masked: usize;
  channels: usize;
  length: i32;
  heads: i32;
  /** Query heads that share a key head. */
  group: i32;
  d: i32;
  r: i32;
  scale: f32;
}

/** Scores over some channels, see select/sparq.ts. */
@unmanaged
export class ChannelScoreParams extends MapParams {
  q: usize;
  channels: usize;
  kT: usize;
  kStrideB: i32;
  kStrideH: i32;
  kStrideC: i32;
  group: i32;
  d: i32;
  r: i32;
  blockColumns: i32;
}

/** Means of values for what was not chosen, see select/sparq.ts. */
@unmanaged
export class SparqBlendParams extends MapParams {
  bits: usize;
  words: i32;
  v: usize;
  vStrideB: i32;
  vStrideT: i32;
  vStrideH: i32;
  vType: i32;
  /** Sums of values over a weight. */
  sums: usize;
  weight: f32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  group: i32;
  dv: i32;
}

/** Weights of channels, see select/channels.ts. */
@unmanaged
export class HeavyChannelParams {
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
  weights: usize;
  batch: i32;
  queries: i32;
  length: i32;
  group: i32;
  d: i32;
}

/** Some channels of rows, see select/channels.ts. */
@unmanaged
export class TakeChannelParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  o: usize;
  oStrideB: i32;
  oStrideT: i32;
  oStrideH: i32;
  channels: usize;
  lists: i32;
  length: i32;
  heads: i32;
  d: i32;
  r: i32;
}

/** Directions of most variance, see select/principal.ts. */
@unmanaged
export class PrincipalParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  basis: usize;
  variances: usize;
  batch: i32;
  length: i32;
  d: i32;
  r: i32;
}

/** Rows of keys or values kept as codes, see decode/codes/layout.ts. */
@unmanaged
export class CodedRows {
  /** u8 [B, blocks, Hkv, bytes], strides in bytes; with a page table [pages, blocks of a page, Hkv, bytes]. */
  codes: usize;
  codeStrideB: i32;
  codeStrideBlock: i32;
  codeStrideH: i32;
  scale: usize;
  /** 0: codes are symmetric about the middle. Strided as scale. */
  offset: usize;
  scaleStrideB: i32;
  /** From a block to the next; with byChannel from `group` tokens to the next. */
  scaleStrideBlock: i32;
  scaleStrideH: i32;
  /** f32 [2^bits]: what the codes stand for; 0: for themselves. */
  codebook: usize;
  /** i32 and f32 [B, blocks, Hkv, tokens of a block, slots]: channels, and what is added to them. */
  outlierIndex: usize;
  outlierValue: usize;
  outlierStrideB: i32;
  outlierStrideBlock: i32;
  outlierStrideH: i32;
  slots: i32;
  /** 4 or 2. */
  bits: i32;
  /** 1: laid out as values, 0: as keys. */
  values: i32;
  /** 1: a scale for each channel of `group` tokens, 0: for each token of `group` channels. */
  byChannel: i32;
  group: i32;
  d: i32;
  /** i32 [B, pagesPerSequence] page of each span of pageBlocks blocks; with it, strides B count pages. */
  pageTable: usize;
  pageBlocks: i32;
  pagesPerSequence: i32;
}

/** Rows to codes and back, see decode/codes/quantize.ts. */
@unmanaged
export class QuantizeParams {
  /** f32 [B, count, Hkv, d] */
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  /** A CodedRows. */
  rows: usize;
  /** Token of the rows that x begins with. */
  first: i32;
  count: i32;
  heads: i32;
  /** Tokens of a work item, a multiple of a block's. */
  span: i32;
  /** 1: scale and offset are there already. */
  given: i32;
}

/** Attention on rows of codes, then on rows of floats, see decode/codes/decode.ts. */
@unmanaged
export class CodeDecodeParams extends DecodeParams {
  /** Two CodedRows. k and v are the f32 rows behind them. */
  kRows: usize;
  vRows: usize;
  /** i32 [sequences, 2]: keys and values that are coded. */
  coded: usize;
  /** f32 [positions, rotated / 2] angles that keys are turned by when they are read; 0: they are not. */
  cos: usize;
  sin: usize;
  rotated: i32;
  interleaved: i32;
}

/** Signatures that agree, see select/hamming.ts. */
@unmanaged
export class HammingParams extends MapParams {
  q: usize;
  qStrideB: i32;
  qStrideH: i32;
  qStrideT: i32;
  k: usize;
  kStrideB: i32;
  kStrideH: i32;
  group: i32;
  bits: i32;
}

/** Tables in which hashes are the same, see select/collisions.ts. */
@unmanaged
export class CollisionParams extends MapParams {
  q: usize;
  k: usize;
  kStrideB: i32;
  kStrideL: i32;
  tables: i32;
  group: i32;
}

/** Rows less a mean, see select/collisions.ts. */
@unmanaged
export class CentreParams {
  x: usize;
  xStrideB: i32;
  xStrideT: i32;
  xStrideH: i32;
  xType: i32;
  mean: usize;
  o: usize;
  length: i32;
  heads: i32;
  d: i32;
}

/** Lists of keys for rows of queries, see select/listed.ts. */
@unmanaged
export class ListedParams {
  q: usize;
  qStrideB: i32;
  qStrideT: i32;
  qStrideH: i32;
  qType: i32;
  indices: usize;
  counts: usize;
  o: usize;
  lists: i32;
  rows: i32;
  /** Query heads that share a key head. */
  group: i32;
  d: i32;
  /** Keys. */
  columns: i32;
  scale: f32;
  /** Keys at the start and at the end of what a query sees that are taken in any case. */
  first: i32;
  last: i32;
}

/** Scores at lists, see select/listed.ts. */
@unmanaged
export class ListScoreParams extends ListedParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  /** Entries of a list. */
  width: i32;
}

/** Importance of sampled keys, see select/collisions.ts. */
@unmanaged
export class SamplingBiasParams extends ListScoreParams {
  mean: usize;
  bits: i32;
  tables: i32;
}

/** Scores at lists by codes, see select/int4.ts. */
@unmanaged
export class Int4ScoreParams extends ListedParams {
  codes: usize;
  codesStrideB: i32;
  codesStrideT: i32;
  codesStrideH: i32;
  range: usize;
  rangeStrideB: i32;
  rangeStrideT: i32;
  rangeStrideH: i32;
  /** Bytes of a key's codes, a multiple of 8; entries of a list. */
  width: i32;
  entries: i32;
}

/** Keys in four bits, see select/int4.ts. */
@unmanaged
export class Int4KeyParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  codes: usize;
  codesStrideB: i32;
  codesStrideT: i32;
  codesStrideH: i32;
  range: usize;
  rangeStrideB: i32;
  rangeStrideT: i32;
  rangeStrideH: i32;
  length: i32;
  heads: i32;
  d: i32;
  width: i32;
}

/** Entries of lists, see select/listed.ts. */
@unmanaged
export class PickParams {
  indices: usize;
  width: i32;
  bits: usize;
  words: i32;
  o: usize;
  capacity: i32;
  counts: usize;
  /** i32 [B, L, Tq]: how many entries of the lists count. */
  listCounts: usize;
  rows: i32;
  columns: i32;
  first: i32;
  last: i32;
}

/** Tokens of labels, see select/listed.ts. */
@unmanaged
export class LabelTokensParams extends MapParams {
  chosen: usize;
  labelWords: i32;
  /** Labels. */
  count: i32;
  labels: usize;
  labelsStrideB: i32;
  labelsStrideH: i32;
  bits: usize;
  words: i32;
  group: i32;
  /** Tokens at the start and at the end of what a row sees that are taken in any case. */
  first: i32;
  last: i32;
}

/** What stands for blocks, see select/far-tokens.ts. */
@unmanaged
export class RepresentativesParams {
  k: usize;
  kStrideB: i32;
  kStrideT: i32;
  kStrideH: i32;
  kType: i32;
  scores: usize;
  o: usize;
  length: i32;
  heads: i32;
  d: i32;
  /** Keys before the first block, of a block, and of those the ones that count; blocks. */
  first: i32;
  block: i32;
  count: i32;
  blocks: i32;
}

/** Keys beyond a window, see select/far-tokens.ts. */
@unmanaged
export class FarTokensParams {
  bits: usize;
  words: i32;
  o: usize;
  capacity: i32;
  counts: usize;
  rows: i32;
  columns: i32;
  first: i32;
  block: i32;
  window: i32;
}

/** Prefixes of tokens by cluster, see select/tail-fit.ts. */
@unmanaged
export class TailFitParams extends MapParams {
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
  order: usize;
  offsets: usize;
  bits: usize;
  words: i32;
  /** Tokens. */
  length: i32;
  group: i32;
  d: i32;
  scale: f32;
  share: f32;
  /** Places whose weights are known, and of those past them. */
  exact: i32;
  samples: i32;
  /** Tokens at the start and at the end of what a row sees that are taken in any case. */
  first: i32;
  last: i32;
}
