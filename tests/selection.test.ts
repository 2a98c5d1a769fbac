import { test } from 'node:test';
import fc from 'fast-check';
import type { Selection } from '../src/engines/selection.ts';
import { attentionSync } from '../src/index.ts';
import { flashCall } from './flash-calls.ts';
import { expectClose, randomNumbers, values } from './numbers.ts';
import { property } from './property.ts';
import { variants } from './runtimes.ts';

const size = (max: number) => fc.integer({ min: 1, max });
const sample = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  B: size(2),
  lists: size(2),
  headsPerList: size(2),
  kvHeads: fc.constantFrom(1, 2),
  Tq: fc.oneof(size(5), size(230)),
  Tk: fc.oneof(size(70), size(300)),
  D: fc.constantFrom(1, 3, 18, 33, 64, 80),
  queryBlock: fc.oneof(fc.constantFrom(1, 2, 64, 128), size(50)),
  keyBlock: fc.oneof(fc.constantFrom(1, 16, 32, 64, 128), size(100)),
  labels: fc.constantFrom(0, 0, 1, 2, 3),
  shared: fc.boolean(),
  causal: fc.boolean(),
  density: fc.constantFrom(0, 0.05, 0.2, 0.6, 0.97, 1),
});

test('a selection equals the dense mask it stands for: any granularity, lists of heads, labels, empty rows', async () => {
  const runtimes = await variants();
  await property(sample, 120, async (c) => {
    const next = randomNumbers(c.seed);
    const { B, lists, Tq, Tk, D, queryBlock, keyBlock } = c;
    const kvHeads = c.kvHeads === 2 && (lists * c.headsPerList) % 2 === 0 ? 2 : 1;
    const H = lists * c.headsPerList;
    const byLabel = [c.labels & 1, c.labels & 2];
    const rows = byLabel[0] ? 1 + Math.floor(Tq / 10) : Math.ceil(Tq / queryBlock);
    const columns = byLabel[1] ? 1 + Math.floor(Tk / 10) : Math.ceil(Tk / keyBlock);
    const words = Math.ceil(columns / 32);
    const batches = c.shared ? 1 : B;
    const chosen = Array.from({ length: batches * lists * rows * columns }, () => next() < c.density);
    const bits = new Int32Array(batches * lists * rows * words);
    chosen.forEach((on, at) => {
      const j = at % columns;
      if (on) bits[Math.floor(at / columns) * words + (j >> 5)]! |= 1 << (j & 31);
    });
    // labels of keys lie together as sorted clusters do, those of queries anywhere; some are no row's at all
    const labelsOf = (n: number, kinds: number, sorted: boolean) => {
      const all = Int32Array.from({ length: batches * lists * n }, () => Math.floor(next() * (kinds + 1.2)) - 1);
      if (sorted) for (let at = 0; at < all.length; at += n) all.subarray(at, at + n).sort();
      return all;
    };
    const queryLabels = byLabel[0] ? labelsOf(Tq, rows, false) : undefined;
    const keyLabels = byLabel[1] ? labelsOf(Tk, columns, next() < 0.7) : undefined;
    const mask = new Uint8Array(B * H * Tq * Tk);
    for (let b = 0; b < B; ++b) {
      for (let h = 0; h < H; ++h) {
        const list = (c.shared ? 0 : b) * lists + Math.floor((h * lists) / H);
        for (let i = 0; i < Tq; ++i) {
          const row = queryLabels ? queryLabels[list * Tq + i]! : Math.floor(i / queryBlock);
          for (let j = 0; j < Tk; ++j) {
            const bit = keyLabels ? keyLabels[list * Tk + j]! : Math.floor(j / keyBlock);
            const inside = row >= 0 && row < rows && bit >= 0 && bit < columns;
            mask[((b * H + h) * Tq + i) * Tk + j] = inside && chosen[(list * rows + row) * columns + bit] ? 1 : 0;
          }
        }
      }
    }
    const data = {
      q: values(B * Tq * H * D, next),
      k: values(B * Tk * kvHeads * D, next),
      v: values(B * Tk * kvHeads * D, next),
    };
    for (const rt of runtimes) {
      rt.scope(() => {
        const q = rt.tensor(data.q, [B, Tq, H, D]);
        const k = rt.tensor(data.k, [B, Tk, kvHeads, D]);
        const v = rt.tensor(data.v, [B, Tk, kvHeads, D]);
        const selection: Selection = {
          bits: rt.tensor(bits, [batches, lists, rows, words]),
          queryBlock,
          keyBlock,
          queryLabels: queryLabels && rt.tensor(queryLabels, [batches, lists, Tq]),
          keyLabels: keyLabels && rt.tensor(keyLabels, [batches, lists, Tk]),
        };
        const want = attentionSync({ q, k, v, mask: rt.tensor(mask, [B, H, Tq, Tk]) }, { causal: c.causal });
        const got = flashCall(rt, { q, k, v }, { selection }, { window: [-1, c.causal ? 0 : -1] });
        expectClose(got.o, want.o.dataSync(), 'o');
        expectClose(got.lse, want.lse.dataSync(), 'lse');
      });
    }
  });
});
