import type { InferenceSession, Tensor } from 'onnxruntime-web';
import type { AttentionProblem, LinearProblem, Problem } from '../../src/cli/bench/problem.ts';
import { formulate } from './formulation.ts';
import { headsFirst, timeFirst } from './heads-first.ts';
import { type GraphNode, graphOf, type OnnxGraph, onnxModel } from './onnx-model.ts';

/** What is used of onnxruntime-web. */
export type OnnxRuntime = Pick<typeof import('onnxruntime-web'), 'InferenceSession' | 'Tensor' | 'env'>;

/** A way to say a problem in ONNX. */
interface Way {
  readonly name: string;
  readonly graph: OnnxGraph;
  readonly data: Record<string, Float32Array>;
  result(outputs: Record<string, Float32Array>): Float32Array;
}

/** com.microsoft's MultiHeadAttention, which takes [B, T, H * D]. */
function multiHead({ heads, queries, keys, dim, causal, scale, q, k, v }: AttentionProblem): Way {
  const width = heads * dim;
  return {
    name: 'MultiHeadAttention',
    graph: {
      opset: 23,
      domains: { 'com.microsoft': 1 },
      nodes: [
        {
          op: 'MultiHeadAttention',
          domain: 'com.microsoft',
          attributes: { num_heads: heads, unidirectional: causal ? 1 : 0, scale: { float: scale } },
          inputs: ['q', 'k', 'v'],
          outputs: ['o'],
        },
      ],
      inputs: { q: [1, queries, width], k: [1, keys, width], v: [1, keys, width] },
      outputs: { o: [1, queries, width] },
    },
    data: { q, k, v },
    result: ({ o }) => o!,
  };
}

/** Products with a softmax or a mask between them, heads first; what a model that knows no better node has. */
function composed(
  sizes: { heads: number; queries: number; keys: number; dim: number; scale: number },
  operands: { q: Float32Array; k: Float32Array; v: Float32Array },
  softmax: boolean,
  causal: boolean,
): Way {
  const { heads, queries, keys, dim, scale } = sizes;
  const scalar = new Float32Array([scale]);
  const mask = new Float32Array(queries * keys);
  for (let i = 0; i < queries; ++i) {
    for (let j = 0; j < keys; ++j) {
      const seen = !causal || j <= i + keys - queries;
      mask[i * keys + j] = softmax ? (seen ? 0 : -1e9) : Number(seen);
    }
  }
  const masking: GraphNode[] = causal ? [{ op: softmax ? 'Add' : 'Mul', inputs: ['s', 'mask'], outputs: ['m'] }] : [];
  const visible = causal ? 'm' : 's';
  return {
    name: softmax ? 'MatMul, Softmax, MatMul' : 'MatMul, Mul, MatMul',
    graph: {
      opset: 13,
      nodes: [
        { op: 'Transpose', attributes: { perm: [0, 1, 3, 2] }, inputs: ['k'], outputs: ['kt'] },
        { op: 'Mul', inputs: ['q', 'scale'], outputs: ['qs'] },
        { op: 'MatMul', inputs: ['qs', 'kt'], outputs: ['s'] },
        ...masking,
        ...(softmax ? [{ op: 'Softmax', attributes: { axis: -1 }, inputs: [visible], outputs: ['w'] }] : []),
        { op: 'MatMul', inputs: [softmax ? 'w' : visible, 'v'], outputs: ['o'] },
      ],
      inputs: {
        q: [1, heads, queries, dim],
        k: [1, heads, keys, dim],
        v: [1, heads, keys, dim],
        scale: [1],
        ...(causal ? { mask: [queries, keys] } : {}),
      },
      outputs: { o: [1, heads, queries, dim] },
    },
    data: {
      q: headsFirst(operands.q, queries, heads, dim),
      k: headsFirst(operands.k, keys, heads, dim),
      v: headsFirst(operands.v, keys, heads, dim),
      scale: scalar,
      ...(causal ? { mask } : {}),
    },
    result: ({ o }) => timeFirst(o!, queries, heads, dim),
  };
}

/** Linear attention without a gate as products; it has no state. */
function composedLinear({ heads, tokens, keyDim, scale, q, k, v }: LinearProblem): Way {
  return composed({ heads, queries: tokens, keys: tokens, dim: keyDim, scale }, { q, k, v }, false, true);
}

/** Every way to say a problem. */
function waysOf(problem: Problem): Way[] {
  const ways: Way[] = [];
  const formulation = formulate(problem);
  if (formulation) {
    const { node, data, result } = formulation;
    ways.push({ name: node.op, graph: graphOf(node), data, result });
  }
  if (problem.kind === 'attention') ways.push(multiHead(problem), composed(problem, problem, true, problem.causal));
  if (problem.kind === 'linear' && problem.gate === 'none' && !problem.beta) ways.push(composedLinear(problem));
  return ways;
}

/** A problem in ONNX, ready to run on tensors that lie on the GPU. */
export interface GpuPeer {
  readonly name: string;
  /** Whether all of it runs on the GPU: what has no shader runs on the processor, with copies both ways. */
  readonly onGpu: boolean;
  /** Why it cannot run, in place of all else. */
  readonly refused?: string;
  run(): Promise<void>;
  settle(): Promise<unknown>;
  /** The first elements of the result: what the problem's own layout has before the state. */
  output(): Promise<Float32Array>;
  dispose(): Promise<void>;
}

async function prepare(ort: OnnxRuntime, { name, graph, data, result }: Way): Promise<GpuPeer> {
  const create = (strict: boolean): Promise<InferenceSession> =>
    ort.InferenceSession.create(onnxModel(graph), {
      executionProviders: ['webgpu'],
      preferredOutputLocation: 'gpu-buffer',
      ...(strict ? { extra: { session: { disable_cpu_ep_fallback: '1' } } } : {}),
    });
  let onGpu = true;
  const session = await create(true).catch((error: Error) => {
    if (!/CPU EP/.test(error.message)) throw error;
    onGpu = false;
    return create(false);
  });
  const device = (await ort.env.webgpu.device) as unknown as GPUDevice;
  const buffers: GPUBuffer[] = [];
  const feeds: Record<string, Tensor> = {};
  for (const [input, values] of Object.entries(data)) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = device.createBuffer({ size: Math.max(16, values.byteLength), usage });
    device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
    buffers.push(buffer);
    feeds[input] = ort.Tensor.fromGpuBuffer(buffer as never, { dataType: 'float32', dims: graph.inputs[input]! });
  }
  return {
    name: `onnxruntime-web, ${name}${onGpu ? '' : ', on the processor'}`,
    onGpu,
    async run() {
      for (const tensor of Object.values(await session.run(feeds))) tensor.dispose();
    },
    settle: () => device.queue.onSubmittedWorkDone(),
    async output() {
      const values: Record<string, Float32Array> = {};
      for (const [output, tensor] of Object.entries(await session.run(feeds))) {
        values[output] = (await tensor.getData(true)) as Float32Array;
      }
      return result(values);
    },
    async dispose() {
      await session.release();
      for (const buffer of buffers) buffer.destroy();
    },
  };
}

/** onnxruntime-web's WebGPU backend on a problem, in every way that it can be said; what cannot run says why. */
export async function onnxruntimeWebGpu(ort: OnnxRuntime, problem: Problem): Promise<GpuPeer[]> {
  const peers: GpuPeer[] = [];
  for (const way of waysOf(problem)) {
    try {
      peers.push(await prepare(ort, way));
    } catch (error) {
      const nothing = async () => {};
      const refused = (error as Error).message ?? String(error);
      const output = async () => new Float32Array();
      peers.push({
        name: `onnxruntime-web, ${way.name}`,
        onGpu: false,
        refused,
        run: nothing,
        settle: nothing,
        output,
        dispose: nothing,
      });
    }
  }
  return peers;
}
