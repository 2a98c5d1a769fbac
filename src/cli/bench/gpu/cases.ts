/**
 * What `wattn bench --backend webgpu` measures.
 *
 * @module
 */
import {
  add,
  attention,
  deltaRule,
  gatedDeltaRule,
  gla,
  kda,
  linearAttn,
  matmul,
  type Runtime,
  rmsNorm,
  rope,
  selectiveScan,
  simpleGla,
  type Tensor,
} from '../../../index.ts';
import {
  type AttentionProblem,
  attentionProblem,
  flopsOf,
  type LinearProblem,
  linearProblem,
  matmulProblem,
  randomArray,
  scanProblem,
  withState,
} from '../problem.ts';
import type { GpuCall, GpuCase, Results, Shape } from './case.ts';

const values = async (tensor: Tensor | undefined) => (await tensor!.data()) as Float32Array;
const bytesOfAll = (...tensors: Tensor[]) => tensors.reduce((sum, tensor) => sum + tensor.size * 4, 0);

/** Attention of queries on keys; one query is a step of decoding. */
function attentionCall(rt: Runtime, problem: AttentionProblem, type: 'f32' | 'f16' | 'bf16' = 'f32'): GpuCall {
  const { heads, dim, queries, keys, causal } = problem;
  const q = rt.tensor(problem.q, [1, queries, heads, dim]);
  const k = rt.tensor(problem.k, [1, keys, heads, dim], type);
  const v = rt.tensor(problem.v, [1, keys, heads, dim], type);
  const bytesOfKey = type === 'f32' ? 4 : 2;
  return {
    call: async () => ({ ...(await attention({ q, k, v }, { causal })) }),
    ...(type === 'f32' ? { problem, result: ({ o }: Results) => values(o) } : {}),
    ...(queries > 1 ? { flops: flopsOf(problem) } : {}),
    bytes: 2 * q.size * 4 + (k.size + v.size) * bytesOfKey,
  };
}

const attentionCase = (
  name: string,
  title: string,
  core: boolean,
  shape: Shape,
  { causal = false, type = 'f32' as 'f32' | 'f16' | 'bf16' } = {},
): GpuCase => ({
  name,
  title,
  core,
  shape,
  small: { ...shape, T: 256, H: 2 },
  prepare: (rt, { T, H, D, Q }) =>
    attentionCall(rt, attentionProblem({ heads: H!, queries: Q ?? T!, keys: T!, dim: D!, causal }), type),
});

/** What a method of linear attention takes. */
type Operands = Readonly<Record<'q' | 'k' | 'v' | 'g' | 'beta', Tensor>>;
type Method = (operands: Operands) => Promise<{ o: Tensor; finalState: Tensor }>;

function linearCall(rt: Runtime, problem: LinearProblem, method: Method): GpuCall {
  const { heads, tokens, keyDim, valueDim, gate } = problem;
  const lead = [1, tokens, heads];
  const operands: Partial<Record<keyof Operands, Tensor>> = {
    q: rt.tensor(problem.q, [...lead, keyDim]),
    k: rt.tensor(problem.k, [...lead, keyDim]),
    v: rt.tensor(problem.v, [...lead, valueDim]),
  };
  if (gate !== 'none') operands.g = rt.tensor(problem.g, gate === 'vector' ? [...lead, keyDim] : lead);
  if (problem.beta) operands.beta = rt.tensor(problem.beta, lead);
  return {
    call: async () => ({ ...(await method(operands as Operands)) }),
    problem,
    result: async ({ o, finalState }) => withState(await values(o), await values(finalState)),
    flops: flopsOf(problem),
    bytes: bytesOfAll(...Object.values(operands), operands.v!) + heads * keyDim * valueDim * 4,
  };
}

const linearCase = (
  name: string,
  title: string,
  core: boolean,
  gate: LinearProblem['gate'],
  delta: boolean,
  method: Method,
): GpuCase => ({
  name,
  title,
  core,
  shape: { T: 4096, H: 16, D: 64 },
  small: { T: 256, H: 2, D: 64 },
  prepare: (rt, { T, H, D }) => linearCall(rt, linearProblem({ heads: H!, tokens: T!, dim: D!, gate, delta }), method),
});

/** A call without a definition here: WebAssembly tells what is right. */
const streamCase = (
  name: string,
  title: string,
  core: boolean,
  shape: Shape,
  small: Shape,
  prepare: (rt: Runtime, shape: Shape) => { call: () => Promise<Results>; bytes: number },
): GpuCase => ({ name, title, core, shape, small, prepare });

const MODEL = { T: 4096, H: 16, D: 64 };

/** All cases, in the order of the table. */
export const gpuCases: readonly GpuCase[] = [
  attentionCase('attention', 'full attention', true, MODEL),
  attentionCase('attention-causal', 'causal attention', true, MODEL, { causal: true }),
  attentionCase('attention-1k', 'full attention', false, { ...MODEL, T: 1024 }),
  attentionCase('attention-causal-1k', 'causal attention', false, { ...MODEL, T: 1024 }, { causal: true }),
  attentionCase('attention-d128', 'full attention', false, { ...MODEL, D: 128 }),
  attentionCase('attention-causal-d128', 'causal attention', false, { ...MODEL, D: 128 }, { causal: true }),
  attentionCase('attention-causal-16k', 'causal attention', false, { ...MODEL, T: 16384 }, { causal: true }),
  attentionCase('decode', 'one query on a cache', true, { T: 32768, H: 32, D: 128, Q: 1 }),
  attentionCase('decode-f16', 'one query on a cache, f16', false, { T: 32768, H: 32, D: 128, Q: 1 }, { type: 'f16' }),
  streamCase(
    'decode-int8',
    'one query on a cache, int8',
    false,
    { T: 32768, H: 32, D: 128 },
    { T: 256, H: 2, D: 64 },
    (rt, { T, H, D }) => {
      const q = rt.tensor(randomArray(H! * D!, 1, 1), [1, 1, H!, D!]);
      const rows = (seed: number) => {
        return rt.tensor(new Int8Array(randomArray(T! * H! * D!, 40, seed)), [1, T!, H!, D!]);
      };
      const scales = (seed: number) => {
        const values = randomArray(T! * H!, 0.004, seed).map((x) => 0.01 + Math.abs(x));
        return rt.tensor(values, [1, T!, H!]);
      };
      const inputs = { q, k: rows(2), v: rows(3), kScale: scales(4), vScale: scales(5) };
      return {
        call: async () => ({ ...(await attention(inputs)) }),
        bytes: bytesOfAll(q, q, inputs.kScale, inputs.vScale) + inputs.k.size + inputs.v.size,
      };
    },
  ),
  attentionCase('decode-4k', 'one query on a cache', false, { T: 4096, H: 32, D: 128, Q: 1 }),
  linearCase('linear', 'linear attention', true, 'none', false, ({ q, k, v }) => linearAttn({ q, k, v })),
  linearCase('simple-gla', 'simpleGla', true, 'scalar', false, ({ q, k, v, g }) => simpleGla({ q, k, v, g })),
  linearCase('gla', 'gla', true, 'vector', false, ({ q, k, v, g }) => gla({ q, k, v, gk: g })),
  linearCase('delta', 'deltaRule', false, 'none', true, ({ q, k, v, beta }) => deltaRule({ q, k, v, beta })),
  linearCase('gated-delta', 'gatedDeltaRule', true, 'scalar', true, (x) => gatedDeltaRule(x)),
  linearCase('kda', 'kda', false, 'vector', true, (x) => kda(x)),
  {
    name: 'gemm',
    title: 'matrix product',
    core: true,
    shape: { M: 2048, K: 2048, N: 2048 },
    small: { M: 256, K: 256, N: 256 },
    prepare(rt, { M, K, N }) {
      const problem = matmulProblem(M!, K!, N!);
      const a = rt.tensor(problem.a, [M!, K!]);
      const b = rt.tensor(problem.b, [K!, N!]);
      return {
        call: async () => ({ ...(await matmul({ a, b })) }),
        problem,
        result: ({ o }) => values(o),
        flops: flopsOf(problem),
        bytes: bytesOfAll(a, b) + M! * N! * 4,
      };
    },
  },
  {
    name: 'selective-scan',
    title: 'selective scan',
    core: true,
    shape: { T: 4096, D: 2048, N: 16 },
    small: { T: 256, D: 128, N: 16 },
    prepare(rt, { T, D, N }) {
      const problem = scanProblem({ tokens: T!, channels: D!, states: N! });
      const inputs = {
        u: rt.tensor(problem.u, [1, T!, D!]),
        delta: rt.tensor(problem.delta, [1, T!, D!]),
        A: rt.tensor(problem.a, [D!, N!]),
        B: rt.tensor(problem.b, [1, T!, N!]),
        C: rt.tensor(problem.c, [1, T!, N!]),
      };
      return {
        call: async () => ({ ...(await selectiveScan(inputs, { deltaSoftplus: true })) }),
        problem,
        result: async ({ o, finalState }) => withState(await values(o), await values(finalState)),
        flops: flopsOf(problem),
        bytes: bytesOfAll(...Object.values(inputs), inputs.u) + D! * N! * 4,
      };
    },
  },
  streamCase('rope', 'rope', true, { T: 16384, H: 16, D: 128 }, { T: 256, H: 4, D: 64 }, (rt, { T, H, D }) => {
    const x = rt.tensor(randomArray(T! * H! * D!, 1, 1), [1, T!, H!, D!]);
    return { call: async () => ({ ...(await rope({ x })) }), bytes: 2 * bytesOfAll(x) };
  }),
  streamCase('rms-norm', 'rmsNorm', false, { T: 16384, D: 2048 }, { T: 256, D: 256 }, (rt, { T, D }) => {
    const x = rt.tensor(randomArray(T! * D!, 1, 1), [1, T!, D!]);
    const weight = rt.tensor(randomArray(D!, 1, 2), [D!]);
    return { call: async () => ({ ...(await rmsNorm({ x, weight })) }), bytes: 2 * bytesOfAll(x) };
  }),
  streamCase('add', 'sum of two tensors', false, { N: 2 ** 25 }, { N: 2 ** 16 }, (rt, { N }) => {
    const a = rt.tensor(randomArray(N!, 1, 1), [N!]);
    const b = rt.tensor(randomArray(N!, 1, 2), [N!]);
    return { call: async () => ({ ...(await add({ a, b })) }), bytes: 3 * bytesOfAll(a) };
  }),
];
