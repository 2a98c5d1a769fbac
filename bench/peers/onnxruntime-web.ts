import { createRequire } from 'node:module';
import type { InferenceSession, Tensor } from 'onnxruntime-web';
import type { Contender, Peer } from '../../src/cli/bench/contender.ts';
import type { Problem } from '../../src/cli/bench/problem.ts';
import { formulate } from './formulation.ts';
import { graphOf, onnxModel } from './onnx-model.ts';

type OnnxRuntime = typeof import('onnxruntime-web');

const note = 'session.run, with its copies of the inputs into its heap and of the output back';

/** Larger inputs would be copied into its heap on every call and measure nothing else. */
const BYTES_LIMIT = 72 * 2 ** 20;

async function contender(ort: OnnxRuntime, name: string, problem: Problem): Promise<Contender | undefined> {
  const formulation = formulate(problem);
  if (!formulation) return undefined;
  const { node, data, result } = formulation;
  if (Object.values(data).reduce((sum, { byteLength }) => sum + byteLength, 0) > BYTES_LIMIT) return undefined;
  const session: InferenceSession = await ort.InferenceSession.create(onnxModel(graphOf(node)), {
    executionProviders: ['wasm'],
  });
  const feeds: Record<string, Tensor> = {};
  for (const [input, values] of Object.entries(data))
    feeds[input] = new ort.Tensor('float32', values, node.inputs[input]!);
  return {
    name,
    note,
    run: () => session.run(feeds),
    async output() {
      const outputs = Object.entries(await session.run(feeds));
      return result(Object.fromEntries(outputs.map(([output, { data }]) => [output, data as Float32Array])));
    },
    dispose: () => session.release(),
  };
}

/**
 * Its number of threads is fixed when its first session is made, and its backends are registered in onnxruntime-common; a
 * fresh pair of module instances per number of threads lets one process have several.
 */
function freshInstance(): OnnxRuntime {
  const require = createRequire(import.meta.url);
  for (const path of Object.keys(require.cache)) {
    if (/[\\/]onnxruntime-(common|web)[\\/]/.test(path)) delete require.cache[path];
  }
  return require('onnxruntime-web');
}

/** onnxruntime-web's WebAssembly backend: one-node models of Attention (opset 23), MatMul and com.microsoft's LinearAttention. */
export async function onnxruntimeWeb(threads: number): Promise<Peer> {
  const ort = freshInstance();
  ort.env.wasm.numThreads = threads;
  const name = threads === 1 ? 'onnxruntime-web' : `onnxruntime-web, ${threads} threads`;
  const version = ort.env.versions.web ?? ort.env.versions.common;
  return { name, version, prepare: (problem) => contender(ort, name, problem) };
}
