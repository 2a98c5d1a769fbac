import { STATE_FLUSH } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { fma } from '../simd/fma';
import { transposePanel } from '../gemm/transpose';
import { LayerWork } from './workspace';

/** to = from for the first of `left` columns, at most eight. */
// @ts-ignore: decorator
@inline
function copyColumns(from: usize, to: usize, left: i32): void {
  if (left >= 8) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
  } else {
    memory.copy(to, from, (<usize>left) << 2);
  }
}

/** Row `row` of the panels from `dout` floats. */
function loadPanelRow(l: LayerWork, panels: usize, row: i32, from: usize): void {
  let to = panels + ((<usize>row) << 5);
  for (let left = l.dout; left > 0; left -= 8) {
    copyColumns(from, to, left);
    from += 32;
    to += l.panelBytes;
  }
}

/** Panels from weights f32 [din, dout] and a bias f32 [dout]; zeros where an address is 0, and in what pads them. */
export function loadPanels(l: LayerWork, panels: usize, weights: usize, bias: usize): void {
  memory.fill(panels, 0, l.bytes);
  if (weights) {
    for (let i = 0; i < l.din; ++i) loadPanelRow(l, panels, i, weights + ((<usize>(i * l.dout)) << 2));
  }
  if (bias) loadPanelRow(l, panels, l.din, bias);
}

function storePanelRow(l: LayerWork, panels: usize, row: i32, to: usize): void {
  let from = panels + ((<usize>row) << 5);
  for (let left = l.dout; left > 0; left -= 8) {
    copyColumns(from, to, left);
    to += 32;
    from += l.panelBytes;
  }
}

/** The reverse of `loadPanels`. */
export function storePanels(l: LayerWork, panels: usize, weights: usize, bias: usize): void {
  for (let i = 0; i < l.din; ++i) storePanelRow(l, panels, i, weights + ((<usize>(i * l.dout)) << 2));
  if (bias) storePanelRow(l, panels, l.din, bias);
}

/** to[din8 / 8][dout][8] = the panels' rows up to din as columns: what gradients go back through. */
export function transposePanels(l: LayerWork, panels: usize, to: usize): void {
  for (let c = 0; c < l.panels; ++c) {
    const from = panels + <usize>c * l.panelBytes;
    const columns = min(8, l.dout - (c << 3));
    for (let i = 0; i < l.din; i += 8) {
      const at = to + ((<usize>((i >> 3) * l.dout + (c << 3))) << 5);
      if (columns == 8 && i + 8 <= l.din) transposePanel(from + ((<usize>i) << 5), 32, at, 8);
      else {
        for (let r = 0; r < 8; ++r) {
          for (let j = 0; j < columns; ++j) {
            store<f32>(
              at + ((<usize>(j * 8 + r)) << 2),
              i + r < l.din ? load<f32>(from + ((<usize>((i + r) * 8 + j)) << 2)) : 0,
            );
          }
        }
      }
    }
  }
}

/** base = keep base + add second, second = stay second; what has become too small is zero. */
export function turnPanels(base: usize, second: usize, bytes: usize, keep: f32, add: f32, stay: f32): void {
  const flush = v128.load(STATE_FLUSH);
  const k = f32x4.splat(keep);
  const a = f32x4.splat(add);
  const s = f32x4.splat(stay);
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(second + i);
    v128.store(base + i, flushedBelow(fma(x, a, f32x4.mul(v128.load(base + i), k)), flush));
    v128.store(second + i, flushedBelow(f32x4.mul(x, s), flush));
  }
}

/** base += factor second. */
export function addPanels(base: usize, second: usize, bytes: usize, factor: f32): void {
  const f = f32x4.splat(factor);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(base + i, fma(v128.load(second + i), f, v128.load(base + i)));
  }
}
