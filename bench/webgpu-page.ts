/**
 * What `bench/webgpu-browser.ts` measures inside a page: wattn and onnxruntime-web on the same GPU, in the same rounds.
 *
 * @module
 */
import { type Check, checkResult } from '../src/cli/bench/check.ts';
import { disposeAll, type Shape } from '../src/cli/bench/gpu/case.ts';
import { gpuCases } from '../src/cli/bench/gpu/cases.ts';
import { type GpuEffort, type GpuTiming, measureGpu, type Timed } from '../src/cli/bench/gpu/measure.ts';
import { referenceOf } from '../src/cli/bench/reference.ts';
import { createRuntime } from '../src/index.ts';
import { type OnnxRuntime, onnxruntimeWebGpu } from './peers/onnxruntime-webgpu.ts';

/** One contender of a case. */
export interface Contended {
  readonly name: string;
  readonly onGpu: boolean;
  readonly check?: Check;
  readonly timing?: GpuTiming;
  /** Why it has no figures. */
  readonly refused?: string;
}

/** A case with its contenders, wattn first. */
export interface ContendedCase {
  readonly name: string;
  readonly shape: Shape;
  readonly contenders: readonly Contended[];
}

/** Share of the largest value that a result may be off by. */
const TOLERANCE = 1e-3;
const ROWS = 48;

const message = (error: unknown) => `${(error as Error).name}: ${(error as Error).message}`;

/** What the GPU calls itself. */
export async function gpuName(): Promise<object> {
  const rt = await createRuntime({ backend: 'webgpu' });
  const { gpu } = rt.info();
  rt.dispose();
  return gpu;
}

/** Checks and times a case. @param ortUrl where onnxruntime-web's module is. */
export async function contend(ortUrl: string, name: string, over: Shape, effort: GpuEffort): Promise<ContendedCase> {
  const one = gpuCases.find((each) => each.name === name)!;
  const rt = await createRuntime({ backend: 'webgpu' });
  const shape = { ...(rt.info().gpu.software ? one.small : one.shape), ...over };
  const call = one.prepare(rt, shape);
  const problem = call.problem!;
  const reference = referenceOf(problem, ROWS);
  const contenders: { name: string; onGpu: boolean; check?: Check; timed?: Timed; refused?: string }[] = [];
  try {
    const results = await call.call();
    const check = checkResult(await call.result!(results), reference, TOLERANCE);
    disposeAll(results);
    const timed = { run: async () => disposeAll(await call.call()), settle: () => rt.ready() };
    contenders.push({ name: 'wattn', onGpu: true, check, ...(check.ok ? { timed } : {}) });
  } catch (error) {
    contenders.push({ name: 'wattn', onGpu: true, refused: message(error) });
  }
  const ort = (await import(ortUrl)) as OnnxRuntime;
  const peers = await onnxruntimeWebGpu(ort, problem);
  for (const peer of peers) {
    if (peer.refused !== undefined) {
      contenders.push({ name: peer.name, onGpu: peer.onGpu, refused: peer.refused });
      continue;
    }
    try {
      const output = await peer.output();
      // what has no state is compared without it
      const rows = reference.rows.filter(
        ({ offset, stride, values }) => offset + stride * (values.length - 1) < output.length,
      );
      const check = checkResult(output, { ...reference, rows, length: output.length }, TOLERANCE);
      contenders.push({ name: peer.name, onGpu: peer.onGpu, check, ...(check.ok ? { timed: peer } : {}) });
    } catch (error) {
      contenders.push({ name: peer.name, onGpu: peer.onGpu, refused: message(error) });
    }
  }
  const running = contenders.flatMap(({ timed }) => timed ?? []);
  const timings = await measureGpu(running, effort);
  const report = contenders.map(({ timed, ...rest }) => ({
    ...rest,
    ...(timed ? { timing: timings[running.indexOf(timed)]! } : {}),
  }));
  for (const peer of peers) await peer.dispose();
  rt.dispose();
  return { name, shape, contenders: report };
}
