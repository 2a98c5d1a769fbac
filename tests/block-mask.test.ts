import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode } from 'fast-png';
import { BLOCK_K, type BlockList, keptBlocks } from '../src/engines/block-list.ts';
import { explain } from '../src/explain.ts';
import {
  type AttentionOptions,
  attention,
  attentionSync,
  BlockMask,
  blockMask,
  createRuntime,
  DTypeError,
  differentialAttentionSync,
  OptionError,
  type Predicate,
  parallaxSync,
  ShapeError,
  type Tensor,
  UnsupportedError,
} from '../src/index.ts';
import { listsFromRows } from '../src/mask/lists.ts';
import { cellBorders, everyPair, IslandFound } from '../src/mask/predicate.ts';
import { causal, documents, type Pattern, window } from '../src/pattern.ts';
import { expectClose, randomNumbers, values } from './numbers.ts';
import { property } from './property.ts';
import { variants } from './runtimes.ts';

/** A mask as [batch, heads, Tq, Tk] bytes. */
function denseOf(mask: BlockMask): Uint8Array {
  const { Tq, Tk, blockQ, listOf, rows, entries, tiles } = mask.list;
  const perList = Math.ceil(Tq / blockQ);
  const dense = new Uint8Array(listOf.length * Tq * Tk);
  listOf.forEach((list, place) => {
    for (let block = 0; block < perList; ++block) {
      const at = list * perList + block;
      for (let e = rows[at]!; e < rows[at + 1]!; ++e) {
        const [first, tile] = [entries[2 * e]! * BLOCK_K, entries[2 * e + 1]!];
        for (let i = block * blockQ; i < Math.min(Tq, (block + 1) * blockQ); ++i) {
          for (let j = first; j < Math.min(Tk, first + BLOCK_K); ++j) {
            const word = 2 * (tile * blockQ + i - block * blockQ) + ((j - first) >> 5);
            if (tile < 0 || (tiles[word]! >>> (j & 31)) & 1) dense[(place * Tq + i) * Tk + j] = 1;
          }
        }
      }
    }
  });
  return dense;
}

/** Masks of many kinds by name: blocks full, empty and ragged occur. */
function predicateOf(kind: number, next: () => number): Predicate {
  const [a, c] = [1 + Math.floor(next() * 90), 1 + Math.floor(next() * 40)];
  switch (kind) {
    case 0:
      return (_, __, i, j) => j <= i && i - j < a;
    case 1:
      return (_, h, i, j) => (i + j * (h + 1)) % c === 0;
    case 2:
      return (b, h, i, j) => Math.floor(i / a) === Math.floor(j / a) || (j + b + h) % (c + 20) === 0;
    case 3:
      return (b, h, i, j) => ((((i * 7919 + j * 104729 + b * 31 + h) >>> 0) * 2654435761) >>> 0) % 100 < c;
    case 4:
      return (_, h, i, j) => h % 2 === 0 || (i > a && j > a);
    default:
      return (_, __, i) => i % 2 === 0;
  }
}

const size = (max: number) => fc.integer({ min: 1, max });
const maskCase = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  kind: fc.integer({ min: 0, max: 5 }),
  source: fc.constantFrom('predicate', 'pattern', 'runs', 'array', 'tensor'),
  B: size(2),
  kvHeads: size(2),
  group: size(2),
  ownBatch: fc.boolean(),
  ownHeads: fc.constantFrom('one', 'kv', 'all'),
  Tq: fc.oneof(size(4), size(260)),
  Tk: fc.oneof(size(70), size(260)),
  D: fc.constantFrom(1, 3, 18, 64, 80),
  blockQ: fc.constantFrom(12, 50, 64, 96, 192),
  causal: fc.boolean(),
  left: fc.constantFrom(-1, -1, 0, 40),
  lengths: fc.boolean(),
});

test('attention with a block mask equals attention with the dense mask it was made from', async () => {
  const runtimes = await variants();
  await property(maskCase, 60, async (c) => {
    const next = randomNumbers(c.seed);
    const { B, Tq, Tk, D, blockQ } = c;
    const H = c.kvHeads * c.group;
    const batch = c.ownBatch ? B : 1;
    const heads = { one: 1, kv: c.kvHeads, all: H }[c.ownHeads];
    const predicate = predicateOf(c.kind, next);
    const dense = new Uint8Array(batch * heads * Tq * Tk);
    dense.forEach((_, at) => {
      const [row, j] = [Math.floor(at / Tk), at % Tk];
      const [place, i] = [Math.floor(row / Tq), row % Tq];
      dense[at] = predicate(Math.floor(place / heads), place % heads, i, j) ? 1 : 0;
    });
    const visible: Pattern['visible'] = (i, j, at) => predicate(at.batch, at.head, i - at.Tk + at.Tq, j);
    const pattern: Pattern = { name: 'p', perHead: true, perBatch: true, visible };
    const runs: Pattern['runs'] = (i, at, add) => {
      // also runs that pass the ends, in falling order
      for (let j = at.Tk - 1; j >= 0; --j)
        if (visible(i, j, at)) add(j === 0 ? -5 : j, j === at.Tk - 1 ? j + 9 : j + 1);
    };
    const data = {
      q: values(B * Tq * H * D, next),
      k: values(B * Tk * c.kvHeads * D, next),
      v: values(B * Tk * c.kvHeads * D, next),
    };
    const lengths = Int32Array.from({ length: B }, () => Math.floor(next() * (Tk + 1)));
    for (const rt of runtimes) {
      rt.scope(() => {
        const sizes = { Tq, Tk, batch, heads, blockQ };
        const mask =
          c.source === 'predicate'
            ? blockMask(predicate, sizes)
            : c.source === 'pattern'
              ? blockMask(pattern, sizes)
              : c.source === 'runs'
                ? blockMask({ ...pattern, runs }, sizes)
                : c.source === 'array'
                  ? blockMask(dense, sizes)
                  : blockMask(rt.tensor(dense, [batch, heads, Tq, Tk]), { blockQ });
        assert.deepEqual(denseOf(mask), dense);
        const q = rt.tensor(data.q, [B, Tq, H, D]);
        const k = rt.tensor(data.k, [B, Tk, c.kvHeads, D]);
        const v = rt.tensor(data.v, [B, Tk, c.kvHeads, D]);
        const kvLens = c.lengths ? rt.tensor(lengths, [B]) : undefined;
        const whole = Uint8Array.from({ length: B * H * Tq * Tk }, (_, at) => {
          const [row, j] = [Math.floor(at / Tk), at % Tk];
          const [place, i] = [Math.floor(row / Tq), row % Tq];
          const [b, h] = [Math.floor(place / H) % batch, Math.floor(((place % H) * heads) / H)];
          return dense[((b * heads + h) * Tq + i) * Tk + j]!;
        });
        const options = { causal: c.causal, window: [c.left, -1] as const };
        const want = attentionSync({ q, k, v, kvLens, mask: rt.tensor(whole, [B, H, Tq, Tk]) }, options);
        rt.poison();
        const got = attentionSync({ q, k, v, kvLens }, { ...options, blockMask: mask });
        expectClose(got.o.dataSync(), want.o.dataSync(), 'o');
        expectClose(got.lse.dataSync(), want.lse.dataSync(), 'lse');
        mask.dispose();
      });
    }
  });
});

test('and, or and not are those of the pairs', async () => {
  await property(
    fc.record({
      seed: fc.integer({ min: 0, max: 1e6 }),
      kinds: fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5 })),
      heads: fc.constantFrom<[number, number][]>([1, 1], [1, 3], [4, 2], [2, 2]),
      batch: fc.constantFrom<[number, number][]>([1, 1], [2, 1], [2, 2]),
      Tq: size(220),
      Tk: size(220),
      blockQ: fc.constantFrom(12, 64, 96),
    }),
    60,
    async ({ seed, kinds, heads, batch, Tq, Tk, blockQ }) => {
      const next = randomNumbers(seed);
      const masks = kinds.map((kind, at) =>
        blockMask(predicateOf(kind, next), { Tq, Tk, blockQ, heads: heads[at]!, batch: batch[at]! }),
      ) as [BlockMask, BlockMask];
      const [H, B] = [Math.max(...heads), Math.max(...batch)];
      const spread = (mask: BlockMask) => {
        const dense = denseOf(mask);
        const [ownB, ownH] = mask.shape;
        return Uint8Array.from({ length: B * H * Tq * Tk }, (_, at) => {
          const place = Math.floor(at / (Tq * Tk));
          const [b, h] = [Math.floor(place / H) % ownB, Math.floor(((place % H) * ownH) / H)];
          return dense[(b * ownH + h) * Tq * Tk + (at % (Tq * Tk))]!;
        });
      };
      const [a, b] = masks.map(spread) as [Uint8Array, Uint8Array];
      assert.deepEqual(
        denseOf(masks[0].and(masks[1])),
        a.map((x, i) => x & b[i]!),
      );
      assert.deepEqual(
        denseOf(masks[0].or(masks[1])),
        a.map((x, i) => x | b[i]!),
      );
      const not = masks[0].not();
      assert.deepEqual(
        denseOf(not),
        denseOf(masks[0]).map((x) => 1 - x),
      );
      assert.deepEqual(denseOf(not.not()), denseOf(masks[0]));
      assert.deepEqual(not.or(masks[0]).blocks, {
        ...not.blocks,
        full: Object.values(not.blocks).reduce((x, y) => x + y),
        partial: 0,
        empty: 0,
      });
      assert.deepEqual(
        not.and(masks[0]).blocks.empty,
        Object.values(not.blocks).reduce((x, y) => x + y),
      );
      const share = denseOf(masks[0]).reduce((n, x) => n + x, 0) / denseOf(masks[0]).length;
      assert.ok(Math.abs(masks[0].density() - share) < 1e-12);
      assert.ok(Math.abs(masks[0].density() + not.density() - 1) < 1e-12);
    },
  );
});

test('patterns say the same by runs as by pairs, and lists of key blocks of any size what they list', () => {
  const [Tq, Tk] = [150, 190];
  for (const pattern of [causal(), window(20), window(0, 30), window(-1, 3), documents([30, 0, 71, 80])]) {
    const { runs: _, ...pairs } = pattern;
    assert.deepEqual(denseOf(blockMask(pattern, { Tq, Tk })), denseOf(blockMask(pairs, { Tq, Tk })), pattern.name);
  }
  // by place: the last query is at the last key
  const rows = denseOf(blockMask(causal(), { Tq, Tk }));
  assert.equal(rows.lastIndexOf(1), Tq * Tk - 1);
  assert.equal(rows.indexOf(0), Tk - Tq + 1);

  const lists = [Array.from({ length: 15 }, (_, q) => [q % 3, 5].filter((_, i) => i === 0 || q % 2 === 0))];
  const mask = blockMask({ lists, queryBlock: 10, keyBlock: 33 }, { Tq, Tk });
  denseOf(mask).forEach((x, at) => {
    const [i, j] = [Math.floor(at / Tk), at % Tk];
    assert.equal(x, lists[0]![Math.floor(i / 10)]!.includes(Math.floor(j / 33)) ? 1 : 0);
  });
});

test('borders of cells give what every pair gives, for every predicate without an island inside one cell', async () => {
  await property(
    fc.record({
      seed: fc.integer({ min: 0, max: 1e6 }),
      kind: fc.integer({ min: 0, max: 10 }),
      Tq: fc.oneof(size(40), size(400)),
      Tk: fc.oneof(size(70), size(400)),
      blockQ: fc.constantFrom(12, 33, 64, 96, 192),
      heads: size(2),
    }),
    150,
    async ({ seed, kind, Tq, Tk, blockQ, heads }) => {
      const next = randomNumbers(seed);
      const [a, c] = [Math.floor(next() * Tq), Math.floor(next() * Tk)];
      const documentOf = Int32Array.from({ length: Math.max(Tq, Tk) }, (_, i) => Math.floor(Math.sqrt(i * 3)));
      const regular: Predicate[] = [
        (_, __, i, j) => j === c || i === a,
        (_, __, i, j) => j !== c && i !== a,
        (_, h, i, j) => j <= i && (j < 4 + h || i - j < a),
        (_, __, i, j) => documentOf[i] === documentOf[j],
        (_, __, i, j) => i === Tq - 1 && j === Tk - 1,
        (_, h, i, j) => j === 0 && i < Tq - 1 - h,
      ];
      const predicate = regular[kind] ?? predicateOf(kind - regular.length, next);
      const shape = { Tq, Tk, batch: 1, heads, blockQ };
      let borders: unknown;
      try {
        borders = listsFromRows(shape, cellBorders(predicate, Tq, Tk));
      } catch (error) {
        // what has islands is noticed, here by most masks of scattered pairs
        assert.ok(error instanceof IslandFound && kind > 6, String(error));
        return;
      }
      const every = listsFromRows(shape, everyPair(predicate, Tk));
      if (kind < 7) assert.deepEqual(borders, every);
      // an island may go unnoticed, but then it is inside a cell
      const masks = [borders as BlockList, every].map((list) => denseOf(new BlockMask(list)));
      masks[0]!.forEach((x, at) => {
        const [i, j] = [Math.floor(at / Tk) % Tq, at % Tk];
        const inside = (i % blockQ) % 32 !== 0 && j % 32 !== 0 && i < Tq - 1 && j < Tk - 1;
        assert.ok(inside || x === masks[1]![at], `row ${i}, key ${j}`);
      });
    },
  );
});

test('a predicate of a long sequence is asked about few pairs, all of them where it has islands, or where one asks for it', () => {
  const T = 4200;
  let asked = 0;
  const counting =
    (predicate: Predicate): Predicate =>
    (b, h, i, j) => {
      asked += 1;
      return predicate(b, h, i, j);
    };
  const mask = blockMask(
    counting((_, __, i, j) => j <= i && (i - j < 300 || j === 77)),
    { Tq: T, Tk: T },
  );
  assert.ok(asked < 0.12 * T * T, `asked about ${asked} pairs`);
  let pairs = 0;
  for (let i = 0; i < T; ++i) pairs += Math.min(i + 1, 300) + (i - 77 >= 300 ? 1 : 0);
  assert.equal(mask.density(), pairs / T ** 2);

  // hidden on all borders, shown in all cells
  const insides: Predicate = (_, __, i, j) => i % 32 !== 0 && j % 32 !== 0 && i < T - 1 && j < T - 1;
  const shown = Array.from({ length: T - 1 }, (_, i) => i).filter((i) => i % 32 !== 0).length;
  assert.equal(blockMask(insides, { Tq: T, Tk: T }).density(), shown ** 2 / T ** 2);
  const island: Predicate = (_, __, i, j) => i === 2001 && j === 3001;
  assert.equal(blockMask(island, { Tq: T, Tk: T, exhaustive: true }).density(), 1 / T ** 2);
  // 4096 x 4096 pairs are asked about one by one
  assert.equal(blockMask(island, { Tq: 4096, Tk: 4096 }).density(), 1 / 4096 ** 2);
});

test('masks of 32k tokens are made at once, and equal tiles of them are stored once', (t) => {
  const T = 32768;
  let asked = 0;
  const sources: Record<string, Pattern | Predicate> = {
    'causal pattern': causal(),
    'window pattern': window(512, 0),
    'causal window predicate': (_, __, i, j) => {
      asked += 1;
      return j <= i && i - j < 512;
    },
  };
  for (const [name, source] of Object.entries(sources)) {
    const start = performance.now();
    const mask = blockMask(source, { Tq: T, Tk: T });
    const ms = performance.now() - start;
    t.diagnostic(`${name}: ${ms.toFixed(0)} ms, ${mask.blocks.full} full and ${mask.blocks.partial} partial blocks`);
    assert.ok(mask.list.tiles.length / 192 < 10, `${name} has ${mask.list.tiles.length / 192} tiles`);
  }
  assert.ok(asked < 0.08 * T * T, `asked about ${asked} pairs`);
});

test('lists of equal heads are stored once', () => {
  const mask = blockMask((_, h, i, j) => (h === 3 ? j <= i : i - j < 64 && j <= i), { Tq: 500, Tk: 500, heads: 8 });
  assert.deepEqual([...mask.list.listOf], [0, 0, 0, 1, 0, 0, 0, 0]);
  const one = blockMask(causal(), { Tq: 500, Tk: 500, heads: 8, batch: 2 });
  assert.deepEqual(one.shape, [1, 1, 500, 500]);
});

test('pictures: characters by block, PNG pixels by pair', async () => {
  const mask = blockMask(causal(), { Tq: 192, Tk: 256 });
  assert.equal(mask.toString(), '█▒▒·\n██▒▒');
  assert.deepEqual(mask.blocks, { full: 3, partial: 4, empty: 1 });
  assert.equal(mask.density({ causal: true }), 1);
  const url = await mask.toImage();
  const image = decode(Buffer.from(url.slice('data:image/png;base64,'.length), 'base64'));
  assert.deepEqual([image.width, image.height, image.channels, image.depth], [256, 192, 1, 8]);
  const dense = denseOf(mask);
  assert.deepEqual(
    Uint8Array.from(image.data),
    dense.map((visible) => (visible ? 0 : 255)),
  );

  const long = blockMask((_, h, i, j) => h === 1 || j <= i, { Tq: 1500, Tk: 1500, heads: 2 });
  assert.ok(
    long
      .toString()
      .split('\n')
      .every((line) => line.length <= 96),
  );
  const { width, height, data } = long.picture();
  assert.deepEqual([width, height], [750, 750]);
  assert.deepEqual([data[0], data[1], data.at(-1), data.at(-750)], [64, 255, 64, 0]);
  assert.ok(long.picture({ head: 1 }).data.every((grey) => grey === 0));
  assert.throws(() => long.toString({ head: 2 }), OptionError);
});

test('a mask lies in the memory of a runtime once, until it is disposed', async () => {
  const mask = blockMask(window(30, 0), { Tq: 200, Tk: 200 });
  for (const rt of await variants()) {
    const x = rt.tensor(values(200 * 2 * 8, randomNumbers(1)), [1, 200, 2, 8]);
    const run = () => attention({ q: x, k: x, v: x }, { blockMask: mask });
    const first = await run();
    const [used, blocks] = [rt.memory().used, rt.memory().blocks];
    assert.equal(keptBlocks(rt), 1);
    for (let i = 0; i < 3; ++i) {
      const { o, lse } = await run();
      assert.deepEqual(o.dataSync(), first.o.dataSync());
      o.dispose();
      lse.dispose();
    }
    assert.deepEqual([rt.memory().used, rt.memory().blocks], [used, blocks]);
    // another view of the same mask is another list
    mask.not().dispose();
    assert.equal(keptBlocks(rt), 1);
    const pending = run();
    mask.dispose();
    assert.deepEqual((await pending).o.dataSync(), first.o.dataSync());
    assert.equal(keptBlocks(rt), 0);
    assert.deepEqual((await run()).o.dataSync(), first.o.dataSync());
    assert.equal(keptBlocks(rt), 1);
  }
  mask.dispose();
  for (const rt of await variants()) assert.equal(keptBlocks(rt), 0);
});

test('every method that takes a block mask sees a window by it as by its option', async () => {
  const [B, T, H, D] = [2, 130, 4, 18];
  const next = randomNumbers(9);
  const data = [1, 2, 3, 4, 5].map((_, i) => values(B * T * (i % 2 ? 2 : H) * D, next));
  const mask = blockMask(window(40, 0), { Tq: T, Tk: T });
  for (const rt of await variants()) {
    const [q1, k1, q2, k2, r] = data.map((x, i) => rt.tensor(x, [B, T, i % 2 ? 2 : H, D])) as Tensor[] as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const lambda = rt.tensor(values(H, next), [H]);
    const calls: Record<string, (options: AttentionOptions) => { o: Tensor }> = {
      attention: (options) => attentionSync({ q: q1, k: k1, v: k2 }, options),
      parallax: (options) => parallaxSync({ q: q1, k: k1, v: k2, r }, options),
      differential: (options) => differentialAttentionSync({ q1, k1, q2, k2, v: k1, lambda }, options),
      // as decode would take it, were there no mask
      'few queries': (options) => attentionSync({ q: q1.slice(1, T - 3, T), k: k1, v: k2 }, options),
    };
    for (const [name, run] of Object.entries(calls)) {
      const few = name === 'few queries' ? blockMask(window(40, 0), { Tq: 3, Tk: T }) : mask;
      const want = run({ window: [40, 0] }).o.dataSync();
      expectClose(run({ blockMask: few }).o.dataSync(), want, name, 1e-5);
      expectClose(run({ blockMask: few, causal: true }).o.dataSync(), want, name, 1e-5);
      few.dispose();
    }
  }
});

test('explain tells density, blocks kept and flops saved', async () => {
  const rt = await createRuntime({ threads: 1 });
  const [T, H, D] = [1024, 2, 64];
  const x = rt.tensor(values(T * H * D, randomNumbers(2)), [1, T, H, D]);
  const mask = blockMask(window(127, 0), { Tq: T, Tk: T });
  const dense = explain('attention', { q: x, k: x, v: x }, { causal: true });
  const sparse = explain('attention', { q: x, k: x, v: x }, { causal: true, blockMask: mask });
  const pairs = (T * (T + 1)) / 2;
  const kept = 128 * T - (128 * 127) / 2;
  const flopsOf = (n: number) => n * H * 4 * D;
  const of = ({ steps }: typeof dense) => steps.find(({ kernel }) => kernel === 'flash')!.flops;
  assert.equal(of(dense), flopsOf(pairs));
  assert.equal(of(sparse), flopsOf(kept));
  const note = sparse.notes.find((text) => text.startsWith('block mask'))!;
  assert.match(note, new RegExp(`density ${((100 * kept) / pairs).toFixed(1)} %`));
  assert.match(note, /\d+ of \d+ blocks kept/);
  assert.match(note, new RegExp(`${flopsOf(pairs - kept)} flops saved`));
  mask.dispose();
  rt.dispose();
});

test('what does not fit is refused by name, and nothing is left behind', async () => {
  const rt = await createRuntime({ threads: 1 });
  const blocks = rt.memory().blocks;
  const sizes = { Tq: 8, Tk: 8 };
  const wrong: [() => unknown, new (...a: never[]) => Error, RegExp][] = [
    [() => blockMask(causal(), { Tq: 8 } as never), OptionError, /Tk is undefined/],
    [() => blockMask(causal(), { ...sizes, Tq: -1 }), OptionError, /Tq is -1/],
    [() => blockMask(causal(), { ...sizes, blockQ: 0 }), OptionError, /blockQ is 0/],
    [() => blockMask(causal(), { ...sizes, tq: 8 } as never), OptionError, /no option 'tq'/],
    [() => blockMask(7 as never, sizes), OptionError, /7 is neither/],
    [() => blockMask({} as never, sizes), OptionError, /expected a pattern/],
    [() => blockMask(new Uint8Array(63), sizes), ShapeError, /63 elements/],
    [() => blockMask({ lists: [] }, sizes), ShapeError, /0 lists/],
    [() => blockMask({ lists: [[[1]]] }, sizes), OptionError, /key block of list 0 is 1/],
    [() => window(-2), OptionError, /left is -2/],
    [() => documents([1.5]), OptionError, /a length is 1.5/],
    [() => blockMask(causal(), sizes).and(blockMask(causal(), { Tq: 8, Tk: 9 })), ShapeError, /cannot be joined/],
    [() => blockMask(causal(), sizes).or(null as never), OptionError, /not a block mask/],
  ];
  for (const [make, error, message] of wrong) {
    assert.throws(make, (thrown: Error) => thrown instanceof error && message.test(thrown.message), String(message));
  }
  rt.scope(() => {
    const f32 = rt.zeros([8, 8]);
    assert.throws(() => blockMask(f32), DTypeError);
    assert.throws(() => blockMask(rt.zeros([8], 'u8')), ShapeError);
    assert.throws(() => blockMask(rt.zeros([8, 8], 'u8'), { Tq: 9 }), ShapeError);
    const x = rt.zeros([1, 8, 2, 4]);
    const call = { q: x, k: x, v: x };
    const attend = (mask: unknown, more = {}) => attentionSync({ ...call, ...more }, { blockMask: mask as BlockMask });
    assert.throws(() => attend({}), /expected a mask made by blockMask/);
    assert.throws(() => attend(blockMask(causal(), { Tq: 9, Tk: 8 })), ShapeError);
    assert.throws(() => attend(blockMask(() => true, { ...sizes, heads: 3 })), ShapeError);
    assert.throws(() => attend(blockMask(() => true, { ...sizes, batch: 2 })), ShapeError);
    const cuSeqlens = rt.tensor(Int32Array.of(0, 3, 8), [3]);
    assert.throws(() => attend(blockMask(causal(), sizes), { cuSeqlens }), UnsupportedError);
  });
  assert.equal(keptBlocks(rt), 0);
  assert.equal(rt.memory().blocks, blocks);
  // sizes of 0
  assert.equal(blockMask(causal(), { Tq: 0, Tk: 5 }).density(), 0);
  assert.equal(blockMask(causal(), { Tq: 5, Tk: 0 }).toString(), '');
  rt.dispose();
});
