import { ProbeParams } from '../../../generated/params.ts';
import {
  attention,
  dequantizeKvSync,
  type QuantizationKind,
  quantizedAttention,
  quantizeKvSync,
  type Runtime,
  type Tensor,
} from '../../../index.ts';
import { encode } from '../../../runtime/params.ts';
import { bytesOf } from '../../../tensor.ts';
import { type BenchCase, type Entry, fmaProbe, type Goal, peerEntries, READ_PEAK } from '../case.ts';
import type { Probe } from '../measure.ts';
import { type AttentionProblem, attentionProblem, flopsOf } from '../problem.ts';

/** One pass over the very bytes of an entry's cache: both find them in the same levels of the memory. */
const readProbe = (rt: Runtime, { caches = [], bytes = 0 }: Entry): Probe => ({
  name: READ_PEAK,
  read() {
    const start = performance.now();
    for (const { address, size, dtype } of caches) {
      const items = Math.floor((size * bytesOf(dtype)) / 4096);
      const params = encode(ProbeParams, { address });
      rt.runSync([{ kernel: 'probeRead', params, items, grain: items, scratchBytes: 64, flops: 0 }]);
    }
    return bytes / (performance.now() - start) / 1e6;
  },
});

/** An entry that calls attention on tensors that are already in the runtime's memory. */
export function attentionEntry(
  rt: Runtime,
  name: string,
  problem: AttentionProblem,
  {
    dtype = 'f32',
    bytes,
    relative,
    threads,
    headsFirst = false,
    window = [-1, -1],
    quantization,
  }: {
    dtype?: 'f32' | 'f16' | 'bf16' | 'i8';
    bytes?: number;
    relative?: number;
    threads?: number;
    /** keys and values lie as [B, H, T, D]: each head's cache is one run of memory */
    headsFirst?: boolean;
    window?: readonly [left: number, right: number];
    quantization?: QuantizationKind;
  } = {},
): Entry {
  const { heads, queries, keys, dim, causal, scale } = problem;
  const q = rt.tensor(problem.q, [1, queries, heads, dim]);
  const cacheShape = headsFirst ? [1, heads, keys, dim] : [1, keys, heads, dim];
  const tokensFirst = (cache: Tensor) => (headsFirst ? cache.permute([0, 2, 1, 3]) : cache);
  const laidOut = (data: Float32Array) => (headsFirst ? transposeHeads(data, keys, heads, dim) : data);
  // int8 tensors hold codes; the kernel multiplies them by the step
  const cache = (data: Float32Array) =>
    dtype === 'i8'
      ? rt.tensor(
          Int8Array.from(laidOut(data), (x) => x / CACHE_STEP),
          cacheShape,
        )
      : rt.tensor(laidOut(data), cacheShape, dtype);
  const steps = () => {
    const all = rt.tensor(new Float32Array(keys * heads).fill(CACHE_STEP), cacheShape.slice(0, 3));
    return headsFirst ? all.permute([0, 2, 1]) : all;
  };
  const caches = [cache(problem.k), cache(problem.v)] as const;
  const inputs = {
    q,
    k: tokensFirst(caches[0]),
    v: tokensFirst(caches[1]),
    ...(dtype === 'i8' ? { kScale: steps(), vScale: steps() } : {}),
  };
  const options = { causal, scale, window, ...(quantization && { quantization }) };
  return {
    name,
    problem,
    caches,
    flops: flopsOf(problem),
    ...(bytes === undefined ? {} : { bytes }),
    ...(relative === undefined ? {} : { relative }),
    ...(threads === undefined ? {} : { threads }),
    async run() {
      const { o, lse } = await attention(inputs, options);
      o.dispose();
      lse.dispose();
    },
    async output() {
      const { o, lse } = await attention(inputs, options);
      const data = (await o.data()) as Float32Array;
      o.dispose();
      lse.dispose();
      return data;
    },
    dispose() {
      for (const tensor of Object.values(inputs)) tensor.dispose();
    },
  };
}

/** [T, H, D] as [H, T, D]. */
function transposeHeads(data: Float32Array, keys: number, heads: number, dim: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let t = 0; t < keys; ++t) {
    for (let h = 0; h < heads; ++h) {
      const from = (t * heads + h) * dim;
      out.set(data.subarray(from, from + dim), (h * keys + t) * dim);
    }
  }
  return out;
}

/** The same call from arrays to an array: the copies that a package without shared memory makes on every call. */
function copyingAttentionEntry(rt: Runtime, problem: AttentionProblem, bytes?: number): Entry {
  const { heads, queries, keys, dim, causal, scale } = problem;
  const output = async () => {
    const q = rt.tensor(problem.q, [1, queries, heads, dim]);
    const k = rt.tensor(problem.k, [1, keys, heads, dim]);
    const v = rt.tensor(problem.v, [1, keys, heads, dim]);
    const { o, lse } = await attention({ q, k, v }, { causal, scale });
    const data = (await o.data()) as Float32Array;
    for (const tensor of [q, k, v, o, lse]) tensor.dispose();
    return data;
  };
  return {
    name: 'wattn from arrays',
    note: 'copies q, k, v in and o out on every call',
    problem,
    flops: flopsOf(problem),
    ...(bytes === undefined ? {} : { bytes }),
    run: output,
    output,
  };
}

/** How codes of an entry are made. */
interface CodeForm {
  bits: 4 | 2;
  axis: 'token' | 'channel';
  symmetric?: boolean;
}

/** An entry on codes of keys and values, checked against attention on what they stand for. */
function codedEntry(
  rt: Runtime,
  name: string,
  given: AttentionProblem,
  { bits, axis, symmetric = false }: CodeForm,
): Entry {
  const { heads, queries, keys, dim, causal, scale } = given;
  const q = rt.tensor(given.q, [1, queries, heads, dim]);
  // heads stand for a batch, so that each head's codes are one run of memory
  const tokensFirst = (x: Tensor) => {
    const [H, spans, , ...inner] = x.shape as [number, number, number, ...number[]];
    return x.reshape([1, H, spans, ...inner]).permute([0, 2, 1, ...inner.map((_, axis) => axis + 3)]);
  };
  const made = (of: 'keys' | 'values') => {
    const format = { of, bits, axis: of === 'keys' ? axis : 'token', group: 32 } as const;
    return rt.scope(() => {
      const x = rt.tensor(transposeHeads(of === 'keys' ? given.k : given.v, keys, heads, dim), [heads, keys, 1, dim]);
      const coded = quantizeKvSync({ x }, { ...format, symmetric });
      const { o } = dequantizeKvSync(coded, { ...format, dim, tokens: keys });
      const data = transposeHeads(o.dataSync() as Float32Array, heads, keys, dim);
      const { codes, scale: steps, offset } = coded;
      return { data, codes: tokensFirst(codes), scale: tokensFirst(steps), offset: offset && tokensFirst(offset) };
    });
  };
  const [k, v] = [made('keys'), made('values')];
  const { codes: kCodes, scale: kScale, offset: kOffset } = k;
  const { codes: vCodes, scale: vScale, offset: vOffset } = v;
  const inputs = {
    q,
    kCodes,
    kScale,
    vCodes,
    vScale,
    ...(kOffset && { kOffset }),
    ...(vOffset && { vOffset }),
  };
  const options = { kBits: bits, vBits: bits, kAxis: axis, causal, scale };
  const problem = { ...given, k: k.data, v: v.data };
  const once = async <T>(read: (o: Tensor) => T): Promise<T> => {
    const { o, lse } = await quantizedAttention(inputs, options);
    const result = read(o);
    o.dispose();
    lse.dispose();
    return result;
  };
  return {
    name,
    problem,
    flops: flopsOf(problem),
    bytes: [kCodes, kScale, vCodes, vScale, kOffset, vOffset].reduce(
      (sum, x) => sum + (x ? x.size * bytesOf(x.dtype) : 0),
      0,
    ),
    relative: 1e-3,
    run: () => once(() => {}),
    output: () => once((o) => o.dataSync() as Float32Array),
    dispose() {
      for (const tensor of Object.values(inputs)) tensor.dispose();
    },
  };
}

/** Bytes of K and V, which one decoding step reads once. */
const cacheBytes = ({ keys, heads, dim }: AttentionProblem, bytesPerElement = 4) =>
  2 * keys * heads * dim * bytesPerElement;

/** One step of the cache values: with whole multiples of it, f16, bf16 and int8 hold the same numbers as f32. */
const CACHE_STEP = 1 / 64;

function onCacheGrid(problem: AttentionProblem): AttentionProblem {
  const snap = (data: Float32Array) =>
    data.map((x) => Math.max(-127, Math.min(127, Math.round(x / CACHE_STEP))) * CACHE_STEP);
  return { ...problem, k: snap(problem.k), v: snap(problem.v) };
}

interface DenseCase {
  name: string;
  title: string;
  size: Parameters<typeof attentionProblem>[0];
  goals?: Goal[];
  fromArrays?: boolean;
}

const dense = ({ name, title, size, goals = [], fromArrays = false }: DenseCase): BenchCase => ({
  op: 'attention',
  name,
  title,
  async prepare({ rt, probes, peers }) {
    const problem = attentionProblem(size);
    const entries = [attentionEntry(rt, 'wattn', problem)];
    if (fromArrays) entries.push(copyingAttentionEntry(rt, problem));
    return { entries: [...entries, ...(await peerEntries(peers, problem))], probes: [fmaProbe(probes)], goals };
  },
});

const decode = (name: string, title: string, keys: number, fromArrays: boolean, goals: Goal[]): BenchCase => ({
  op: 'attention',
  name,
  title,
  async prepare({ rt, peers }) {
    const problem = attentionProblem({ heads: 8, queries: 1, keys, dim: 64 });
    const bytes = cacheBytes(problem);
    const headsFirst = attentionEntry(rt, 'wattn, heads first', problem, { bytes, headsFirst: true });
    return {
      entries: [
        headsFirst,
        attentionEntry(rt, 'wattn', problem, { bytes }),
        ...(fromArrays ? [copyingAttentionEntry(rt, problem, bytes)] : []),
        ...(await peerEntries(peers, problem, { bytes })),
      ],
      probes: [readProbe(rt, headsFirst)],
      goals,
    };
  },
});

/** Two logit distributions, the same work: denormal numbers would show as a slow-down of the peaked one. */
const peaked = (name: string, title: string, causal: boolean): BenchCase => ({
  op: 'attention',
  name,
  title,
  async prepare({ rt, probes, peers }) {
    const size = { heads: 8, queries: 1024, dim: 64, causal };
    const problem = attentionProblem({ ...size, logits: 30 });
    return {
      entries: [
        attentionEntry(rt, 'wattn, peaked logits', problem),
        attentionEntry(rt, 'wattn, easy logits', attentionProblem(size)),
        ...(await peerEntries(peers, problem)),
      ],
      probes: [fmaProbe(probes)],
      goals: [{ of: 'wattn, peaked logits', against: 'wattn, easy logits', floor: 0.9 }],
    };
  },
});

/** Softmax attention: prefill, decode, cache types, threads. */
export const attentionCases: BenchCase[] = [
  dense({ name: 'full-512', title: 'full attention, H8 N512 D64', size: { heads: 8, queries: 512, dim: 64 } }),
  dense({
    name: 'full-1024',
    title: 'full attention, H8 N1024 D64',
    size: { heads: 8, queries: 1024, dim: 64 },
    fromArrays: true,
    goals: [{ of: 'wattn', against: 'onnxruntime-web', floor: { relaxed: 2.1, simd: 1.5 } }],
  }),
  dense({ name: 'full-2048', title: 'full attention, H8 N2048 D64', size: { heads: 8, queries: 2048, dim: 64 } }),
  dense({
    name: 'full-1024-d128',
    title: 'full attention, H8 N1024 D128',
    size: { heads: 8, queries: 1024, dim: 128 },
    goals: [{ of: 'wattn', against: { peak: 'fma' }, floor: 0.85 }],
  }),
  dense({
    name: 'causal-1024',
    title: 'causal attention, H8 N1024 D64',
    size: { heads: 8, queries: 1024, dim: 64, causal: true },
    goals: [{ of: 'wattn', against: 'onnxruntime-web', floor: { relaxed: 4, simd: 2.9 } }],
  }),
  {
    op: 'attention',
    name: 'causal-4096',
    title: 'long causal mask, H2 N4096 D64',
    async prepare({ rt, probes }) {
      const size = { heads: 2, queries: 4096, dim: 64 };
      return {
        entries: [
          attentionEntry(rt, 'wattn, causal', attentionProblem({ ...size, causal: true })),
          attentionEntry(rt, 'wattn, full', attentionProblem(size)),
        ],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, causal', against: 'wattn, full', perFlop: true, floor: 0.9 }],
      };
    },
  },
  peaked('peaked-1024', 'peaked logits (std 30), full, H8 N1024 D64', false),
  peaked('peaked-causal-1024', 'peaked logits (std 30), causal, H8 N1024 D64', true),
  decode('decode-4k', 'decode, 1 query, 4096 keys, H8 D64 f32', 4096, true, [
    { of: 'wattn', against: 'onnxruntime-web', floor: 2 },
  ]),
  decode('decode-64k', 'decode, 1 query, 65536 keys, H8 D64 f32', 65536, false, [
    { of: 'wattn, heads first', against: { peak: 'read' }, floor: 0.9 },
  ]),
  {
    op: 'attention',
    name: 'caches-16k',
    title: 'decode, 1 query, 16384 keys, H8 D64, cache types, heads first',
    async prepare({ rt }) {
      const problem = onCacheGrid(attentionProblem({ heads: 8, queries: 1, keys: 16384, dim: 64 }));
      const stored = (dtype: 'f32' | 'bf16' | 'f16', bytes: number) =>
        attentionEntry(rt, `wattn, ${dtype} cache`, problem, {
          dtype,
          bytes: cacheBytes(problem, bytes),
          headsFirst: true,
        });
      const f32 = stored('f32', 4);
      const int8 = { dtype: 'i8', bytes: cacheBytes(problem, 1), relative: 1e-3, headsFirst: true } as const;
      return {
        entries: [f32, stored('bf16', 2), stored('f16', 2), attentionEntry(rt, 'wattn, int8 cache', problem, int8)],
        probes: [readProbe(rt, f32)],
        goals: [
          { of: 'wattn, bf16 cache', against: 'wattn, f32 cache', floor: 1.2 },
          { of: 'wattn, int8 cache', against: 'wattn, f32 cache', floor: 1.8 },
        ],
      };
    },
  },
  {
    op: 'attention',
    name: 'caches-64k',
    title: 'decode, 1 query, 65536 keys, H8 D64, cache types, heads first',
    async prepare({ rt }) {
      const problem = onCacheGrid(attentionProblem({ heads: 8, queries: 1, keys: 65536, dim: 64 }));
      const stored = (dtype: 'f32' | 'bf16' | 'f16' | 'i8', bytes: number) =>
        attentionEntry(rt, `wattn, ${dtype === 'i8' ? 'int8' : dtype} cache`, problem, {
          dtype,
          bytes: cacheBytes(problem, bytes),
          headsFirst: true,
          ...(dtype === 'i8' ? { relative: 1e-3 } : {}),
        });
      const f32 = stored('f32', 4);
      const against = 'wattn, f32 cache';
      return {
        entries: [
          f32,
          stored('bf16', 2),
          stored('f16', 2),
          stored('i8', 1),
          codedEntry(rt, 'wattn, int4 cache', problem, { bits: 4, axis: 'token', symmetric: true }),
          codedEntry(rt, 'wattn, KIVI 4 bits', problem, { bits: 4, axis: 'channel' }),
          codedEntry(rt, 'wattn, KIVI 2 bits', problem, { bits: 2, axis: 'channel' }),
        ],
        probes: [readProbe(rt, f32)],
        goals: [
          { of: against, against: { peak: 'read' }, floor: 0.9 },
          { of: 'wattn, bf16 cache', against, floor: 1.25 },
          { of: 'wattn, f16 cache', against, floor: 1 },
          { of: 'wattn, int8 cache', against, floor: { relaxed: 2.2, simd: 1.4 } },
          { of: 'wattn, int4 cache', against, floor: { relaxed: 2, simd: 1.6 } },
        ],
      };
    },
  },
  {
    op: 'attention',
    name: 'int8-prefill',
    title: 'rounded to int8, one thread, H2 N2048 D128',
    async prepare({ runtime, probes }) {
      const problem = attentionProblem({ heads: 2, queries: 2048, dim: 128 });
      const one = await runtime(1);
      const rounded = (quantization: QuantizationKind) =>
        attentionEntry(one, `wattn, ${quantization}`, problem, { threads: 1, quantization, relative: 0.05 });
      return {
        entries: [rounded('int8'), rounded('sage'), attentionEntry(one, 'wattn, f32', problem, { threads: 1 })],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, int8', against: 'wattn, f32', floor: { relaxed: 1.5, simd: 1.2 } }],
      };
    },
  },
  {
    op: 'attention',
    name: 'two-threads',
    title: 'two threads, full attention, H8 N1024 D64',
    async prepare({ runtime, probes, peersWith }) {
      const problem = attentionProblem({ heads: 8, queries: 1024, dim: 64 });
      const one = await runtime(1);
      return {
        entries: [
          attentionEntry(await runtime(2), 'wattn, 2 threads', problem, { threads: 2 }),
          attentionEntry(one, 'wattn, 1 thread', problem, { threads: 1 }),
          ...(await peerEntries(await peersWith(2), problem)).map((entry) => ({ ...entry, threads: 2 })),
        ],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, 2 threads', against: 'wattn, 1 thread', floor: 1.85 }],
      };
    },
  },
];
