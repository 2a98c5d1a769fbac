import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BLOCK_K, type BlockList, forgetList, keptBlocks } from '../src/engines/block-list.ts';
import { attentionSync, OptionError, ShapeError } from '../src/index.ts';
import { flashCall } from './flash-calls.ts';
import { variants } from './runtimes.ts';

const [B, H, Tq, Tk, D, blockQ] = [2, 2, 150, 200, 20, 64];
const random = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233));

/** The blocks of a mask [B, H, Tq, Tk], each query block's entries in the order that `order` gives them. */
function listOf(
  mask: Uint8Array,
  order: (entries: [block: number, tile: number][]) => [block: number, tile: number][],
): { list: BlockList; full: number; partial: number } {
  const rows = [0];
  const entries: [block: number, tile: number][] = [];
  const tiles: number[] = [];
  const blocksQ = Math.ceil(Tq / blockQ);
  for (let list = 0; list < B * H; ++list) {
    for (let block = 0; block < blocksQ; ++block) {
      const found: [block: number, tile: number][] = [];
      const visible = (i: number, j: number) => mask[(list * Tq + i) * Tk + j]!;
      for (let k = 0; k * BLOCK_K < Tk; ++k) {
        let seen = 0;
        let all = 0;
        const words = new Array<number>(2 * blockQ).fill(0);
        for (let i = block * blockQ; i < Math.min(Tq, (block + 1) * blockQ); ++i) {
          for (let j = k * BLOCK_K; j < Math.min(Tk, (k + 1) * BLOCK_K); ++j) {
            all += 1;
            if (!visible(i, j)) continue;
            seen += 1;
            const key = j - k * BLOCK_K;
            words[2 * (i - block * blockQ) + (key >> 5)]! |= 1 << (key & 31);
          }
        }
        if (seen === 0) continue;
        found.push([k, seen === all ? -1 : tiles.length / (2 * blockQ)]);
        if (seen < all) tiles.push(...words);
      }
      entries.push(...order(found));
      rows.push(entries.length);
    }
  }
  const partial = entries.filter(([, tile]) => tile >= 0).length;
  const list: BlockList = {
    Tq,
    Tk,
    blockQ,
    batch: B,
    heads: H,
    listOf: Int32Array.from({ length: B * H }, (_, i) => i),
    rows: Int32Array.from(rows),
    entries: Int32Array.from(entries.flat()),
    tiles: Int32Array.from(tiles),
  };
  return { list, full: entries.length - partial, partial };
}

test('a block list equals the dense mask it stands for, in any order of its entries, and skips what it does not list', async () => {
  const mask = new Uint8Array(B * H * Tq * Tk);
  for (let b = 0; b < B; ++b) {
    for (let h = 0; h < H; ++h) {
      for (let i = 0; i < Tq; ++i) {
        for (let j = 0; j < Tk; ++j) {
          const [blockRow, blockColumn] = [Math.floor(i / blockQ), Math.floor(j / BLOCK_K)];
          // by block full, empty or ragged, with one row that sees nothing at all
          const kind = (blockRow + 2 * blockColumn + h + b) % 3;
          const ragged = (i * 7 + j * 3 + h) % 5 < 2;
          mask[((b * H + h) * Tq + i) * Tk + j] = i === 37 ? 0 : kind === 0 ? 1 : kind === 1 ? 0 : ragged ? 1 : 0;
        }
      }
    }
  }
  for (const rt of await variants()) {
    const [q, k] = [
      rt.tensor(random(B * Tq * H * D, 1), [B, Tq, H, D]),
      rt.tensor(random(B * Tk * H * D, 2), [B, Tk, H, D]),
    ];
    const v = rt.tensor(random(B * Tk * H * D, 3), [B, Tk, H, D]);
    const want = attentionSync({ q, k, v, mask: rt.tensor(mask, [B, H, Tq, Tk]) });
    for (const order of [(e: [number, number][]) => e, (e: [number, number][]) => [...e].reverse()]) {
      const { list, full, partial } = listOf(mask, order);
      assert.ok(full > 0 && partial > 0 && full + partial < B * H * 3 * 4, 'full, partial and empty blocks occur');
      const got = flashCall(rt, { q, k, v }, { blocks: list });
      for (const name of ['o', 'lse'] as const) {
        const expected = want[name].dataSync();
        got[name].forEach((x, i) => {
          assert.ok(
            x === expected[i] || Math.abs(x - expected[i]!) < 2e-6,
            `${name}[${i}] is ${x}, expected ${expected[i]}`,
          );
        });
      }
      forgetList(list);
    }
    // keys of a block that no entry lists are not read: NaN there reaches nothing
    const { list } = listOf(mask, (e) => e.filter(([block]) => block !== 3));
    const holes = mask.map((seen, at) => (at % Tk >= 3 * BLOCK_K ? 0 : seen));
    const masked = attentionSync({ q, k, v, mask: rt.tensor(holes, [B, H, Tq, Tk]) }).o.dataSync();
    for (const tensor of [k, v]) (tensor.view() as Float32Array).fill(Number.NaN, 3 * BLOCK_K * H * D, Tk * H * D);
    const first = Tq * H * D;
    const got = flashCall(rt, { q, k, v }, { blocks: list }).o;
    got.slice(0, first).forEach((x, i) => {
      assert.ok(Math.abs(x - masked[i]!) < 2e-6, `o[${i}] is ${x}, expected ${masked[i]}`);
    });
    assert.equal(keptBlocks(rt), 1);
    assert.throws(() => flashCall(rt, { q, k, v }, { blocks: { ...list, Tq: Tq - 1 } }), ShapeError);
    assert.throws(() => flashCall(rt, { q, k, v }, { blocks: { ...list, listOf: list.listOf.slice(1) } }), OptionError);
    forgetList(list);
    assert.equal(keptBlocks(rt), 0);
  }
});
