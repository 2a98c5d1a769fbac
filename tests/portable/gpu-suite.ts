/**
 * What the built package must do on WebGPU wherever a runtime has it. It imports nothing, as the suite beside it.
 *
 * @module
 */
import type { CaseResult } from '../../src/cli/replay.ts';
import type * as Wattn from '../../src/index.ts';
import type { Check, GoldenCase, Report } from './suite.ts';

/** The built package, as the host imported it. */
export interface GpuPackage {
  readonly wattn: Pick<typeof Wattn, 'add' | 'addSync' | 'createRuntime' | 'DeviceLostError' | 'HostAccessError'>;
  readonly replay: (rt: Wattn.Runtime, bytes: Uint8Array) => Promise<CaseResult>;
}

/** Runs every check; one that fails does not stop the others. `gpu` stands for navigator.gpu where there is none. */
export async function runGpuSuite(
  { wattn, replay }: GpuPackage,
  cases: readonly GoldenCase[],
  gpu?: Wattn.Gpu,
): Promise<Report> {
  const { add, addSync } = wattn;
  const checks: Check[] = [];
  const check = async (name: string, body: () => Promise<string>) => {
    try {
      checks.push({ name, failure: '', detail: await body() });
    } catch (error) {
      const { name: kind, message } = error as Error;
      checks.push({ name, failure: `${kind}: ${message}`, detail: '' });
    }
  };
  const create = () => wattn.createRuntime({ backend: 'webgpu', ...(gpu ? { gpu } : {}) });
  let rt: Wattn.GpuRuntime;
  try {
    rt = await create();
  } catch (error) {
    const { name, message } = error as Error;
    const failure = `${name}: ${message}`;
    return { seen: undefined, checks: [{ name: 'makes a runtime on the GPU', failure, detail: '' }] };
  }
  const { vendor, architecture, description } = rt.info().gpu;
  const device = `on ${description || `${vendor} ${architecture}`.trim() || 'a GPU that has no name'}`;

  for (const { name, bytes } of cases) {
    await check(`replays ${name}`, async () => {
      const before = rt.memory().blocks;
      const { passed, reason, error } = await replay(rt, bytes);
      if (!passed) throw new Error(reason);
      await rt.ready();
      const { blocks } = rt.memory();
      if (blocks !== before) {
        // scratch stays, and lists of blocks do: a second call takes nothing more
        await replay(rt, bytes);
        if (rt.memory().blocks > blocks) throw new Error('every call leaves memory in use');
      }
      return `off by ${error.toExponential(1)}`;
    });
  }

  await check('a synchronous call runs, and what it gives is read when asked for', async () => {
    const a = rt.tensor([1, 2, 3], [3]);
    const { o } = addSync({ a, b: a });
    try {
      o.dataSync();
      throw new Error('dataSync() gave something');
    } catch (error) {
      if (!(error instanceof wattn.HostAccessError)) throw error;
    }
    expectElements(await o.data(), [2, 4, 6]);
    return '';
  });

  await check('a lost device is named, and another takes its place', async () => {
    const devices: GPUDevice[] = [];
    const watched = watching(gpu ?? (navigator as { gpu?: Wattn.Gpu }).gpu!, devices);
    const own = await wattn.createRuntime({ backend: 'webgpu', gpu: watched });
    try {
      const a = own.tensor([1, 2, 3], [3]);
      devices[0]!.destroy();
      const failure = await add({ a, b: a })
        .then(({ o }) => o.data())
        .then(() => undefined)
        .catch((error: Error) => error);
      if (!(failure instanceof wattn.DeviceLostError)) throw new Error(`a call on it gave ${failure}`);
      await own.rebuild();
      const again = own.tensor([1, 2, 3], [3]);
      expectElements(await (await add({ a: again, b: again })).o.data(), [2, 4, 6]);
      return failure.message;
    } finally {
      own.dispose();
    }
  });

  rt.dispose();
  return { seen: { build: 'wgsl', variant: 'wgsl', variantReason: '', threads: 1, threadsReason: device }, checks };
}

/** WebGPU that keeps the devices which it gives. */
function watching(gpu: Wattn.Gpu, devices: GPUDevice[]): Wattn.Gpu {
  return {
    async requestAdapter(options) {
      const adapter = (await gpu.requestAdapter(options)) as GPUAdapter;
      const { info, limits, features } = adapter;
      const requestDevice = async (descriptor: GPUDeviceDescriptor) => {
        const device = await adapter.requestDevice(descriptor);
        devices.push(device);
        return device;
      };
      return { info, limits, features, requestDevice };
    },
  };
}

function expectElements(got: ArrayLike<number>, want: readonly number[]): void {
  const list = Array.from(got);
  if (list.join() !== want.join()) throw new Error(`the elements are ${list}, expected ${want}`);
}
