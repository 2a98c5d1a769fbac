// The rules of `patterns.*`: what they say of pairs, what their runs give, and what masks are made of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockMask, OptionError, type Pattern, patterns } from '../src/index.ts';
import { randomFrom } from './samples.ts';

/** What a rule shows of queries i and keys j, and lengths to ask it at. */
interface Rule {
  pattern: Pattern;
  visible: (i: number, j: number, head: number) => boolean;
  lengths: readonly number[];
  heads?: number;
}

const near = (i: number, j: number, n: number) => Math.abs(i - j) < n;
const lengths = [1, 5, 64, 97];
const permutation = [
  [1, 0, 2],
  [2, 2, 0],
];
const tiles = (i: number, j: number) => {
  // a grid of 4 x 6 in tiles of 2 x 2, three tiles along the first axis of two, one along the second of three
  const [a, b] = [Math.floor((i % 6) / 2), Math.floor((j % 6) / 2)];
  return i >= 24 || j >= 24 || a === b;
};

const rules: Rule[] = [
  { pattern: patterns.causal(), visible: (i, j) => j <= i, lengths },
  { pattern: patterns.window(3, 5), visible: (i, j) => j >= i - 3 && j <= i + 5, lengths },
  { pattern: patterns.sinks(3), visible: (_, j) => j < 3, lengths },
  {
    pattern: patterns.streamingLlm({ sinks: 2, window: 9 }),
    visible: (i, j) => j <= i && (j < 2 || i - j < 9),
    lengths,
  },
  {
    pattern: patterns.dilated({ window: 4, dilation: 3 }),
    visible: (i, j) => (i - j) % 3 === 0 && near(i, j, 12),
    lengths,
  },
  {
    pattern: patterns.dilated({ window: 4, dilation: 3, causal: true }),
    visible: (i, j) => j <= i && (i - j) % 3 === 0 && near(i, j, 12),
    lengths,
  },
  {
    pattern: patterns.strided({ stride: 7 }),
    visible: (i, j) => near(i, j, 7) || (i - j) % 7 === 0,
    lengths,
  },
  {
    pattern: patterns.strided({ stride: 7, causal: true }),
    visible: (i, j) => j <= i && (near(i, j, 7) || (i - j) % 7 === 0),
    lengths,
  },
  {
    pattern: patterns.fixed({ stride: 9, summary: 2 }),
    visible: (i, j) => Math.floor(i / 9) === Math.floor(j / 9) || j % 9 >= 7,
    lengths,
  },
  {
    pattern: patterns.fixed({ stride: 9, summary: 2, causal: true }),
    visible: (i, j) => j <= i && (Math.floor(i / 9) === Math.floor(j / 9) || j % 9 >= 7),
    lengths,
  },
  {
    pattern: patterns.logsparse({ window: 3 }),
    visible: (i, j) => near(i, j, 3) || Number.isInteger(Math.log2(Math.abs(i - j))),
    lengths,
  },
  {
    pattern: patterns.logsparse({ causal: true }),
    visible: (i, j) => j <= i && (i === j || Number.isInteger(Math.log2(i - j))),
    lengths,
  },
  {
    pattern: patterns.blockwise({ blockSize: 8 }),
    visible: (i, j) => Math.floor(i / 8) === Math.floor(j / 8),
    lengths,
  },
  {
    pattern: patterns.blockwise({ blockSize: 30, permutation, causal: true }),
    visible: (i, j, h) => j <= i && Math.floor(j / 30) === permutation[h]![Math.floor(i / 30)],
    lengths: [1, 64, 90],
    heads: 2,
  },
  {
    pattern: patterns.longformer({ window: 4, global: [0, 30] }),
    visible: (i, j) => near(i, j, 5) || [i, j].some((t) => t === 0 || t === 30),
    lengths,
  },
  {
    pattern: patterns.longformer({ window: 4, global: [2], dilation: 2, causal: true }),
    visible: (i, j) => j <= i && (((i - j) % 2 === 0 && near(i, j, 9)) || i === 2 || j === 2),
    lengths,
  },
  {
    pattern: patterns.bigbird({ blockSize: 10, given: [[4, 5, 6, 7, 0, 1, 2, 3]] }),
    visible: (i, j) => {
      const [a, b] = [Math.floor(i / 10), Math.floor(j / 10)];
      return a % 9 === 0 || b % 9 === 0 || Math.abs(a - b) < 2 || b === [4, 5, 6, 7, 0, 1, 2, 3][a - 1];
    },
    lengths: [97],
  },
  {
    pattern: patterns.swin({ grid: [4, 6], windowSize: 2, shiftSize: 1 }),
    visible: (i, j) => {
      const rolled = (t: number, n: number) => Math.floor(((t + n - 1) % n) / 2) * 2 + Number(t === 0);
      return rolled(Math.floor(i / 6), 4) === rolled(Math.floor(j / 6), 4) && rolled(i % 6, 6) === rolled(j % 6, 6);
    },
    lengths: [24],
  },
  {
    pattern: patterns.neighborhood({ grid: [5, 6], kernelSize: 3 }),
    visible: (i, j) => {
      const axis = (a: number, b: number, n: number) => Math.abs(Math.max(1, Math.min(n - 2, a)) - b) <= 1;
      return axis(Math.floor(i / 6), Math.floor(j / 6), 5) && axis(i % 6, j % 6, 6);
    },
    lengths: [30],
  },
  {
    pattern: patterns.slidingTile({ grid: [4, 6], tile: [2, 2], window: [3, 1] }),
    visible: tiles,
    lengths: [24, 27],
  },
  {
    pattern: patterns.sparseVideoGen({ frames: 3, tokensPerFrame: 8, width: 0.5, heads: ['spatial', 'temporal'] }),
    visible: (i, j, h) => {
      if (i >= 24 || j >= 24) return true;
      const place = (t: number) => (t % 8) * 3 + Math.floor(t / 8);
      return h === 0 ? j < 8 || near(i, j, 5) : near(place(i), place(j), 5);
    },
    lengths: [24, 30],
    heads: 2,
  },
  {
    pattern: patterns.duoAttention({ full: [true, false], sinks: 1, recent: 4 }),
    visible: (i, j, h) => j <= i && (h === 0 || j < 1 || near(i, j, 4)),
    lengths,
    heads: 2,
  },
  {
    pattern: patterns.moaAttention({ alpha: [3, 0], beta: [0, 0.1], length: 90, sinks: 1, blockSize: 3 }),
    visible: (i, j, h) => j <= i && (j < 1 || near(i, j, h === 0 ? 3 : 9)),
    lengths,
    heads: 2,
  },
  {
    pattern: patterns.or(patterns.and(patterns.causal(), patterns.window(9)), patterns.sinks(1)),
    visible: (i, j) => (j <= i && near(i, j, 10)) || j < 1,
    lengths,
  },
  {
    pattern: patterns.not(patterns.or(patterns.window(2), patterns.dilated({ window: 9, dilation: 5 }))),
    visible: (i, j) => !near(i, j, 3) && !((i - j) % 5 === 0 && near(i, j, 45)),
    lengths,
  },
  {
    pattern: patterns.perHead([patterns.causal(), patterns.not(patterns.causal()), patterns.sinks(2)]),
    visible: (i, j, h) => [j <= i, j > i, j < 2][h]!,
    lengths,
    heads: 3,
  },
];

for (const { pattern, visible, lengths, heads = 1 } of rules) {
  test(`${pattern.name}: pairs, runs and masks agree`, () => {
    for (const length of lengths) {
      const mask = blockMask(pattern, { Tq: length, Tk: length, heads, blockQ: 24 });
      for (let head = 0; head < heads; ++head) {
        const at = { Tq: length, Tk: length, batch: 0, head };
        const { data } = mask.picture({ head: mask.shape[1] === 1 ? 0 : head });
        for (let i = 0; i < length; ++i) {
          const inRuns = new Uint8Array(length);
          pattern.runs!(i, at, (first, end) => inRuns.fill(1, Math.max(0, first), Math.max(0, end)));
          for (let j = 0; j < length; ++j) {
            const want = visible(i, j, head);
            const got = [pattern.visible(i, j, at), inRuns[j] === 1, data[i * length + j] === 0];
            assert.deepEqual(got, [want, want, want], `T ${length}, head ${head}, query ${i}, key ${j}`);
          }
        }
      }
      mask.dispose();
    }
  });
}

test('seeded random blocks are distinct, none that is seen anyway, and differ by head and seed', () => {
  const length = 40 * 4;
  const rowsOf = (seed: number, head: number) => {
    const pattern = patterns.bigbird({ blockSize: 4, randomBlocks: 3, seed });
    return Array.from({ length: 38 }, (_, n) => {
      const blocks: number[] = [];
      pattern.runs!((n + 1) * 4, { Tq: length, Tk: length, batch: 0, head }, (first, end) => {
        for (let block = first / 4; block < end / 4; ++block) blocks.push(block);
      });
      return blocks;
    });
  };
  const first = rowsOf(0, 0);
  for (const [n, blocks] of first.entries()) {
    const always = new Set([0, 39, n, n + 1, n + 2]);
    assert.equal(new Set(blocks).size, always.size + 3, `block ${n + 1}`);
  }
  assert.deepEqual(rowsOf(0, 0), first);
  assert.notDeepEqual(rowsOf(0, 1), first);
  assert.notDeepEqual(rowsOf(1, 0), first);
});

test('queries of a continuation see what the same queries of the whole saw', () => {
  const random = randomFrom(1);
  const all = [
    patterns.strided({ stride: 5, causal: true }),
    patterns.fixed({ stride: 6, summary: 1 }),
    patterns.logsparse({ causal: true }),
    patterns.streamingLlm({ sinks: 2, window: 7 }),
  ];
  for (const pattern of all) {
    const whole = blockMask(pattern, { Tq: 50, Tk: 50 }).picture().data;
    const Tq = 1 + Math.floor(random() * 20);
    const part = blockMask(pattern, { Tq, Tk: 50 }).picture().data;
    assert.deepEqual(part, whole.slice((50 - Tq) * 50), pattern.name);
  }
});

test('what a pattern cannot be made of is named', () => {
  const wrong: [() => Pattern, RegExp][] = [
    [() => patterns.strided({ stride: 0 }), /strided: stride is 0/],
    [() => patterns.strided({} as { stride: number }), /strided: stride is missing/],
    [() => patterns.fixed({ stride: 4, summary: 5 }), /summary is 5, expected at most the stride of 4/],
    [() => patterns.dilated({ window: 1.5 }), /window is 1.5/],
    [() => patterns.longformer({ window: 2, global: [-1] }), /a global token is -1/],
    [() => patterns.bigbird({ given: [] }), /blocks are those of no head/],
    [() => patterns.swin({ grid: [7, 8], windowSize: 4 }), /do not cut a grid of 7,8/],
    [() => patterns.neighborhood({ grid: [4, 4], kernelSize: [3] }), /kernelSize is \[3\], expected .* 2 axes/],
    [() => patterns.neighborhood({ grid: [4], kernelSize: 2, stride: 3 }), /stride\[0\] is 3/],
    [() => patterns.slidingTile({ grid: [4, 4], tile: [2], window: [1, 1] }), /tile is \[2\]/],
    [() => patterns.radial({ frames: 0, tokensPerFrame: 4 }), /frames is 0/],
    [() => patterns.sparseVideoGen({ frames: 2, tokensPerFrame: 4, width: -1, heads: ['spatial'] }), /width is -1/],
    [() => patterns.duoAttention({ full: [] }), /full is \[\]/],
    [() => patterns.moaAttention({ alpha: [1], beta: [], length: 4 }), /both as many/],
    [() => patterns.or(), /no pattern was given/],
    [() => patterns.and(patterns.causal(), {} as Pattern), /is not a pattern/],
  ];
  for (const [make, message] of wrong) {
    assert.throws(make, (error: Error) => error instanceof OptionError && message.test(error.message), String(message));
  }
});
