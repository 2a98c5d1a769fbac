import { type AttentionOptions, attention, type Runtime, type Tensor } from '../../src/index.ts';

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
