import { MR } from '../gemm/panel';
import { FastLayer, FastWeightParams, FastWeights } from '../params';

/** Tokens that are taken together at most; a longer mini-batch comes in parts. */
export const PART: i32 = 64;

/** One layer in scratch. Panels are f32 [dout8 / 8][rows][8], rows = din, and one more for the bias, rounded up to tiles. */
@unmanaged
export class LayerWork {
  din: i32;
  dout: i32;
  /** Rows with that of the bias. */
  rows: i32;
  /** Panels of columns. */
  panels: i32;
  panelBytes: usize;
  bytes: usize;
  /** What the item's heads hold, and how much a head does; the four below are those of the head that is selected. */
  heads: usize;
  headBytes: usize;
  /** Weights that gradients are taken at. */
  frozen: usize;
  /** Weights that queries read: `frozen` itself, or those of Titans. */
  base: usize;
  /** Sum of gradients, or momentum. */
  second: usize;
  /** f32 [din8 / 8][dout][8]: `frozen` without its bias, transposed; absent in the first layer. */
  back: usize;
  /** f32 [PART + MR][rows8]: what the keys bring to this layer, with a one for the bias. */
  x: usize;
  /** f32 [PART + MR][dout8]: what they leave it with, then the slope of its activation, then the gradient. */
  g: usize;
  xBytes: usize;
  gBytes: usize;
}

/** Scratch of one thread. */
@unmanaged
export class FastWork {
  layers: usize;
  /** f32 [PART + MR][d8] */
  target: usize;
  /** f32 [PART + MR][widest8], three of them: what queries bring to a layer and leave it with, and products with factors. */
  y: usize;
  z: usize;
  scaled: usize;
  rowBytes: usize;
  /** f32 [PART + MR][part8] */
  scores: usize;
  scoreBytes: usize;
  /** f32 [part8 / 8][rows][8]: keys of a layer, transposed. */
  xPanels: usize;
  /** f32 [rows][part8]: the same times factors. */
  xRows: usize;
  /** f32 [panels][part][8]: gradients of a layer. */
  gPanels: usize;
  /** f32 [part]: rates, and what of base and second each query reads. */
  rates: usize;
  baseOf: usize;
  secondOf: usize;
  /** f32 [part8]: weights of the keys in the part's end, in base and second. */
  endBase: usize;
  endSecond: usize;
  /** f32 [PART][part8]: weights of the keys in what a query reads. */
  coefficients: usize;
  /** f32 [heads][2][d8]: weights and biases of the norm; those of the head that is selected. */
  norms: usize;
  lnWeight: usize;
  lnBias: usize;
  end: usize;

  // the item
  sequence: i32;
  batch: i32;
  firstHead: i32;
  headCount: i32;
  head: i32;
  start: i32;
  length: i32;
  /** Tokens of the mini-batch before the next one. */
  position: i32;

  // what the end of a part makes of base and second: base = keep base + add second, second = stay second
  keep: f32;
  add: f32;
  stay: f32;
}

const WORK_BYTES: usize = (offsetof<FastWork>() + 15) & ~15;
const LAYER_BYTES: usize = offsetof<LayerWork>();
const TABLE_BYTES: usize = offsetof<FastLayer>();

// @ts-ignore: decorator
@inline
export function layerAt(w: FastWork, i: i32): LayerWork {
  return changetype<LayerWork>(w.layers + <usize>i * LAYER_BYTES);
}

// @ts-ignore: decorator
@inline
export function tableAt(p: FastWeightParams, i: i32): FastLayer {
  return changetype<FastLayer>(p.layers + <usize>i * TABLE_BYTES);
}

/** Places of the weights of a layer in the table: states before and after, then `second`, then what `frozen` was. */
export const STATE: i32 = 0;
export const SECOND: i32 = 2;
export const ANCHOR: i32 = 4;
const PLACES: i32 = 6;
const PLACE_BYTES: usize = offsetof<FastWeights>();

// @ts-ignore: decorator
@inline
export function weightsAt(p: FastWeightParams, layer: i32, place: i32): FastWeights {
  return changetype<FastWeights>(p.weights + <usize>(layer * PLACES + place) * PLACE_BYTES);
}

/** Bytes of a row of n floats, whole panels. */
// @ts-ignore: decorator
@inline
function padded(n: i32): usize {
  return (<usize>((n + 7) >> 3)) << 5;
}

/** Rows of a matrix rounded up to whole tiles. */
// @ts-ignore: decorator
@inline
function tiles(n: i32): usize {
  return <usize>(((n + MR - 1) / MR) * MR);
}

/** Lays the scratch out at `at`, with the records of layers there or, while it is only measured, at `records`. */
export function carveFastWeight(p: FastWeightParams, at: usize, records: usize): FastWork {
  const w = changetype<FastWork>(at);
  const part = min(p.miniBatch, PART);
  const partBytes = padded(part);
  const tokens = <usize>(part + MR);
  w.layers = records ? records : at + WORK_BYTES;
  let next = (at + WORK_BYTES + <usize>p.layerCount * LAYER_BYTES + 15) & ~15;
  let widest = p.d;
  let most: usize = 0;
  let panels: usize = 0;
  for (let i = 0; i < p.layerCount; ++i) {
    const t = tableAt(p, i);
    const l = layerAt(w, i);
    l.din = t.din;
    l.dout = t.dout;
    l.rows = t.din + t.bias;
    l.panels = (t.dout + 7) >> 3;
    l.panelBytes = tiles(l.rows) << 5;
    l.bytes = <usize>l.panels * l.panelBytes;
    l.xBytes = padded(l.rows);
    l.gBytes = padded(t.dout);
    l.heads = next;
    l.headBytes = l.bytes * (p.rule == 2 ? 3 : 2) + (i > 0 ? padded(t.din) * <usize>t.dout : 0);
    next += <usize>p.blockH * l.headBytes;
    l.x = next;
    next += tokens * l.xBytes;
    l.g = next;
    next += tokens * l.gBytes;
    widest = max(widest, max(l.rows, t.dout));
    most = max(most, tiles(l.rows));
    panels = max(panels, <usize>l.panels);
  }
  w.rowBytes = padded(widest);
  w.target = next;
  w.y = w.target + tokens * padded(p.d);
  w.z = w.y + tokens * w.rowBytes;
  w.scaled = w.z + tokens * w.rowBytes;
  w.scores = w.scaled + tokens * w.rowBytes;
  w.scoreBytes = partBytes;
  w.xPanels = w.scores + tokens * partBytes;
  w.xRows = w.xPanels + most * partBytes;
  w.gPanels = w.xRows + most * partBytes;
  w.rates = w.gPanels + panels * <usize>part * 32;
  w.baseOf = w.rates + partBytes;
  w.secondOf = w.baseOf + partBytes;
  w.endBase = w.secondOf + partBytes;
  w.endSecond = w.endBase + partBytes;
  w.coefficients = w.endSecond + partBytes;
  w.norms = w.coefficients + <usize>part * partBytes;
  w.end = w.norms + (p.lnWeight ? <usize>p.blockH * 2 * padded(p.d) : 0);
  return w;
}

/** Points the workspace at head i of the item. */
export function selectHead(p: FastWeightParams, w: FastWork, i: i32): void {
  w.head = w.firstHead + i;
  w.lnWeight = p.lnWeight ? w.norms + <usize>i * 2 * padded(p.d) : 0;
  w.lnBias = w.lnWeight + padded(p.d);
  for (let n = 0; n < p.layerCount; ++n) {
    const l = layerAt(w, n);
    l.frozen = l.heads + <usize>i * l.headBytes;
    l.base = p.rule == 2 ? l.frozen + l.bytes : l.frozen;
    l.second = l.base + l.bytes;
    l.back = n > 0 ? l.second + l.bytes : 0;
  }
}
