import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttentionCall } from '../src/engines/attention-call.ts';
import { BLOCK_K, type BlockList, flashAttend } from '../src/engines/flash.ts';
import { attentionSync, OptionError, type Runtime, type Tensor } from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import { variants } from './runtimes.ts';

const [B, H, Tq, Tk, D, blockQ] = [2, 2, 150, 200, 20, 64];
const random = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233));

/** The blocks of a mask [B, H, Tq, Tk], each item's entries in the order that `order` gives them. */
function listOf(
  mask: Uint8Array,
  order: (entries: number[]) => number[],
): { list: BlockList; full: number; partial: number } {
  const rows = [0];
  const entries: number[] = [];
  const bits: number[] = [];
  const counts = { full: 0, partial: 0 };
  const blocksQ = Math.ceil(Tq / blockQ);
  for (let b = 0; b < B; ++b) {
    for (let h = 0; h < H; ++h) {
      // query blocks are listed from the last to the first
      for (let block = blocksQ - 1; block >= 0; --block) {
        const found: number[] = [];
        const visible = (i: number, j: number) => mask[((b * H + h) * Tq + i) * Tk + j]!;
        for (let k = 0; k * BLOCK_K < Tk; ++k) {
          let seen = 0;
          let all = 0;
          for (let i = block * blockQ; i < Math.min(Tq, (block + 1) * blockQ); ++i) {
            for (let j = k * BLOCK_K; j < Math.min(Tk, (k + 1) * BLOCK_K); ++j) {
              seen += visible(i, j);
              all += 1;
            }
          }
          if (seen > 0) found.push(k * 2 + (seen === all ? 1 : 0));
        }
        for (const entry of order(found)) {
          entries.push(entry);
          counts[entry & 1 ? 'full' : 'partial'] += 1;
          for (let r = 0; r < blockQ; ++r) {
            const words = [0, 0];
            for (let j = 0; j < BLOCK_K; ++j) {
              const [i, key] = [block * blockQ + r, (entry >> 1) * BLOCK_K + j];
              if (i < Tq && key < Tk && visible(i, key)) words[j >> 5]! |= 1 << (j & 31);
            }
            bits.push(...words);
          }
        }
        rows.push(entries.length);
      }
    }
  }
  const list = { blockQ, rows: Int32Array.from(rows), entries: Int32Array.from(entries), bits: Int32Array.from(bits) };
  return { list, ...counts };
}

function attendBlocks(rt: Runtime, q: Tensor, k: Tensor, v: Tensor, blocks: BlockList) {
  return runSync('blocks', { q, k, v }, (b) => {
    const sequences = Array.from({ length: B }, (_, batch) => ({
      batch,
      qStart: 0,
      qLength: Tq,
      kStart: 0,
      kLength: Tk,
      offset: Tk - Tq,
    }));
    const [o, lse] = [b.output([B, Tq, H, D]), b.output([B, Tq, H])];
    const call: AttentionCall = { q, k, v, o, lse, sequences, scale: D ** -0.5, softcap: 0, window: [-1, -1] };
    rt.poison();
    flashAttend(b, call, { blocks });
    return { o, lse };
  });
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
    for (const order of [(e: number[]) => e, (e: number[]) => [...e].reverse()]) {
      const { list, full, partial } = listOf(mask, order);
      assert.ok(full > 0 && partial > 0 && full + partial < B * H * 3 * 4, 'full, partial and empty blocks occur');
      const got = attendBlocks(rt, q, k, v, list);
      for (const name of ['o', 'lse'] as const) {
        const expected = want[name].dataSync();
        got[name].dataSync().forEach((x, i) => {
          assert.ok(
            x === expected[i] || Math.abs(x - expected[i]!) < 2e-6,
            `${name}[${i}] is ${x}, expected ${expected[i]}`,
          );
        });
      }
    }
    // keys of a block that no entry lists are not read: NaN there reaches nothing
    const { list } = listOf(mask, (e) => e.filter((entry) => entry >> 1 !== 3));
    const holes = mask.map((seen, at) => (at % Tk >= 3 * BLOCK_K ? 0 : seen));
    const masked = attentionSync({ q, k, v, mask: rt.tensor(holes, [B, H, Tq, Tk]) }).o.dataSync();
    for (const tensor of [k, v]) (tensor.view() as Float32Array).fill(Number.NaN, 3 * BLOCK_K * H * D, Tk * H * D);
    const first = Tq * H * D;
    attendBlocks(rt, q, k, v, list)
      .o.dataSync()
      .slice(0, first)
      .forEach((x, i) => {
        assert.ok(Math.abs(x - masked[i]!) < 2e-6, `o[${i}] is ${x}, expected ${masked[i]}`);
      });
    assert.throws(() => attendBlocks(rt, q, k, v, { ...list, rows: list.rows.slice(1) }), OptionError);
  }
});
