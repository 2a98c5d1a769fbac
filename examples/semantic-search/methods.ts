import {
  type AttentionOptions,
  asam,
  attention,
  bigbird,
  blockwiseAttention,
  dilatedAttention,
  longformer,
  nystromAttention,
  type Runtime,
  stridedAttention,
  type Tensor,
  topKAttention,
} from '../../src/index.ts';

/** A batch of sentences laid end to end, without padding. */
export interface AttendInputs {
  /** [1, N, 4, D], a view of the layer's joint projection, as are k and v */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  /** Scales of int8 keys and values, [1, N, 4]. */
  readonly kScale?: Tensor;
  readonly vScale?: Tensor;
  /** i32 [sentences + 1]: where each sentence begins, and N */
  readonly cuSeqlens: Tensor;
  /** The sentences' lengths in tokens. */
  readonly kvLens: readonly number[];
}

/** A way to run the encoder's attention. The first method is what the others are compared to. */
export interface Method {
  readonly name: string;
  readonly doc: string;
  /** Brings keys and values into the form that they are kept in; not timed, since a cache is written once and read often. */
  store?(rt: Runtime, inputs: AttendInputs): Promise<AttendInputs>;
  /** Returns o [1, N, 4, D]. */
  attend(rt: Runtime, inputs: AttendInputs): Promise<Tensor>;
  /** Bytes of keys and values that the queries of one sentence read in one head, a key counted once for each query that sees it. */
  kvBytes(length: number, size: number): number;
}

/** Add a method here and it appears in the table. */
export const methods: readonly Method[] = [
  exact('dense', 'every token sees the whole sentence', {}),
  exact('window ±32', 'a token sees 32 tokens on either side', { window: [32, 32] }),
  exact('window ±16', 'a token sees 16 tokens on either side', { window: [16, 16] }),
  exact('window ±8', 'a token sees 8 tokens on either side', { window: [8, 8] }),
  exact('window ±4', 'a token sees 4 tokens on either side', { window: [4, 4] }),
  exact('causal', 'a token sees itself and what came before', { causal: true }),
  sparse(
    'dilated 5, every 3rd',
    'a token sees every third of 12 on either side',
    (_, qkv) => dilatedAttention(qkv, { window: 5, dilation: 3 }),
    (i, j) => (i - j) % 3 === 0 && Math.abs(i - j) < 15,
  ),
  sparse(
    'strided 8',
    'a token sees 7 on either side, and every 8th counted from itself',
    (_, qkv) => stridedAttention(qkv, { stride: 8 }),
    (i, j) => Math.abs(i - j) < 8 || (i - j) % 8 === 0,
  ),
  sparse(
    'blockwise 16',
    'a token sees its own block of 16',
    (_, qkv) => blockwiseAttention(qkv, { blockSize: 16 }),
    (i, j) => i >> 4 === j >> 4,
  ),
  sparse(
    'Longformer 8, 1 global',
    'a token sees 8 on either side; the first sees all and is seen by all',
    (rt, qkv) => {
      const length = qkv.q.shape[1]!;
      const globalMask = rt.tensor(
        Uint8Array.from({ length }, (_, t) => (t === 0 ? 1 : 0)),
        [1, length],
      );
      return longformer({ ...qkv, globalMask }, { window: 8 });
    },
    (i, j) => i === 0 || j === 0 || Math.abs(i - j) <= 8,
  ),
  bySentence(
    'BigBird 8',
    'blocks of 8: its own, its neighbours, the first, the last, one at random',
    (_, qkv) => bigbird(qkv, { blockSize: 8, randomBlocks: 1 }),
    (length, size) => bigbirdPairs(length, 8, 1) * 2 * size * 4,
  ),
  sparse(
    'ASAM, scales 4 16 64',
    'every 16th token, 4 on either side, every 4th of 16 on either side; its sparse branch alone',
    (rt, qkv) => asam({ ...qkv, gate: rt.tensor([1, 1, 1, 1], [1, 4]) }, { gating: 'hard' }),
    (i, j) => [4, 16, 64].filter((s) => j % s === 0 || Math.abs(i - j) <= s / 4).length > 1,
  ),
  bySentence(
    'top 16',
    'a token sees the 16 keys with the highest scores',
    (_, qkv) => topKAttention(qkv, { k: 16 }),
    // scores take all keys
    (length, size) => length * (length + Math.min(length, 16)) * size * 4,
  ),
  bySentence('Nyström 8', 'through 8 landmarks, means of segments', nystrom(8), nystromBytes(8)),
  bySentence('Nyström 16', 'through 16 landmarks', nystrom(16), nystromBytes(16)),
  stored('K/V f16', 'dense; keys and values kept as float16', 2, storeHalf('f16')),
  stored('K/V bf16', 'dense; keys and values kept as bfloat16', 2, storeHalf('bf16')),
  stored('K/V int8', 'dense; keys and values kept as int8, one scale per token and head', 1, storeInt8),
];

function exact(name: string, doc: string, options: Pick<AttentionOptions, 'causal' | 'window'>): Method {
  const [left, right] = options.window ?? [Number.POSITIVE_INFINITY, options.causal ? 0 : Number.POSITIVE_INFINITY];
  return {
    name,
    doc,
    async attend(_, { q, k, v, cuSeqlens }) {
      return (await attention({ q, k, v, cuSeqlens }, options)).o;
    },
    kvBytes: (length, size) => visiblePairs(length, left, right) * 2 * size * 4,
  };
}

/** Operands of one sentence, [1, T, 4, D]. */
type Sentence = Pick<AttendInputs, 'q' | 'k' | 'v'>;

/** A method that takes one sentence after another. */
function bySentence(
  name: string,
  doc: string,
  attend: (rt: Runtime, sentence: Sentence) => Promise<{ readonly o: Tensor }>,
  kvBytes: Method['kvBytes'],
): Method {
  return {
    name,
    doc,
    async attend(rt, { q, k, v, kvLens }) {
      const all = rt.empty([...v.shape]);
      let begin = 0;
      for (const length of kvLens) {
        const part = (x: Tensor) => x.slice(1, begin, begin + length);
        const rows = await rt.scope(async () => {
          const { o } = await attend(rt, { q: part(q), k: part(k), v: part(v) });
          return o.view().slice() as Float32Array;
        });
        (all.view() as Float32Array).set(rows, (begin * all.size) / v.shape[1]!);
        begin += length;
      }
      return all;
    },
    kvBytes,
  };
}

/** A method whose tokens see those that `visible` says. */
function sparse(
  name: string,
  doc: string,
  attend: (rt: Runtime, sentence: Sentence) => Promise<{ readonly o: Tensor }>,
  visible: (i: number, j: number) => boolean,
): Method {
  return bySentence(name, doc, attend, (length, size) => {
    let pairs = 0;
    for (let i = 0; i < length; i++) for (let j = 0; j < length; j++) if (visible(i, j)) pairs++;
    return pairs * 2 * size * 4;
  });
}

function nystrom(count: number): (rt: Runtime, sentence: Sentence) => Promise<{ readonly o: Tensor }> {
  return (_, qkv) => nystromAttention(qkv, { numLandmarks: Math.min(count, qkv.q.shape[1]!) });
}

/** Queries read the landmarks' keys and values, landmarks those of the sentence. */
function nystromBytes(count: number): Method['kvBytes'] {
  return (length, size) => (length > count ? 2 : 1) * length * Math.min(length, count) * 2 * size * 4;
}

/** Pairs that BigBird shows: the first and the last block see all, the others what the method says. */
function bigbirdPairs(length: number, block: number, random: number): number {
  const blocks = Math.ceil(length / block);
  const sizeOf = (n: number) => Math.min(block, length - n * block);
  let pairs = 0;
  for (let n = 0; n < blocks; n++) {
    const seen = new Set([0, blocks - 1, n - 1, n, n + 1].filter((m) => m >= 0 && m < blocks));
    const others = Array.from({ length: blocks }, (_, m) => m).filter((m) => !seen.has(m));
    const own = n === 0 || n === blocks - 1 ? others : others.slice(0, random);
    for (const m of [...seen, ...own]) pairs += sizeOf(n) * sizeOf(m);
  }
  return pairs;
}

/** Dense attention over keys and values of `bytes` bytes an element, written by `store`. */
function stored(name: string, doc: string, bytes: number, store: NonNullable<Method['store']>): Method {
  const scaleBytes = bytes === 1 ? 4 : 0;
  return {
    name,
    doc,
    store,
    async attend(_, { q, k, v, kScale, vScale, cuSeqlens }) {
      return (await attention({ q, k, v, kScale, vScale, cuSeqlens })).o;
    },
    kvBytes: (length, size) => length * length * 2 * (size * bytes + scaleBytes),
  };
}

function storeHalf(dtype: 'f16' | 'bf16'): NonNullable<Method['store']> {
  return async (rt, inputs) => ({
    ...inputs,
    k: rt.tensor(await inputs.k.data(), inputs.k.shape, dtype),
    v: rt.tensor(await inputs.v.data(), inputs.v.shape, dtype),
  });
}

async function storeInt8(rt: Runtime, inputs: AttendInputs): Promise<AttendInputs> {
  const { shape } = inputs.k;
  const [keys, values] = [await inputs.k.data(), await inputs.v.data()].map((data) => quantize(data, shape.at(-1)!));
  return {
    ...inputs,
    k: rt.tensor(keys!.codes, shape, 'i8'),
    v: rt.tensor(values!.codes, shape, 'i8'),
    kScale: rt.tensor(keys!.scales, shape.slice(0, 3)),
    vScale: rt.tensor(values!.scales, shape.slice(0, 3)),
  };
}

/** How many (query, key) pairs of a sentence are visible when a query sees `left` keys before it and `right` after it. */
function visiblePairs(length: number, left: number, right: number): number {
  let pairs = 0;
  for (let t = 0; t < length; t++) pairs += Math.min(t, left) + 1 + Math.min(length - 1 - t, right);
  return pairs;
}

/** Symmetric int8 for each row of `size` elements: value = code * scale. */
function quantize(data: ArrayLike<number>, size: number): { codes: Int8Array; scales: Float32Array } {
  const codes = new Int8Array(data.length);
  const scales = new Float32Array(data.length / size);
  for (let row = 0; row < scales.length; row++) {
    let largest = 0;
    for (let c = row * size; c < (row + 1) * size; c++) largest = Math.max(largest, Math.abs(data[c]!));
    const scale = largest === 0 ? 1 : largest / 127;
    scales[row] = scale;
    for (let c = row * size; c < (row + 1) * size; c++) codes[c] = Math.round(data[c]! / scale);
  }
  return { codes, scales };
}
