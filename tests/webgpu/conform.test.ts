import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { replay } from '../../src/cli/replay.ts';
import { createRuntime, type DType, type Tensor, type TensorData } from '../../src/index.ts';
import { ONNX_OPS } from '../../src/onnx/registry.ts';
import { OPS } from '../../src/ops/registry.ts';
import { ROOT } from '../portable/package.ts';
import { testGpu } from './dawn.ts';

/** Operations that are not on WebGPU. One that is left out here and absent is a failure, as is one that is here and not absent. */
const ABSENT: readonly string[] = [];

const rt = await createRuntime({ backend: 'webgpu', gpu: await testGpu() });
after(() => rt.dispose());

/** Tensors that were made from data since the last look. */
const made: Tensor[] = [];
const make = rt.tensor.bind(rt);
rt.tensor = (data: TensorData, shape: readonly number[], dtype?: DType) => {
  const tensor = make(data, shape, dtype);
  made.push(tensor);
  return tensor;
};

/** What the host believes of integers that kernels could have changed. */
async function expectMirrors(): Promise<void> {
  for (const tensor of made.splice(0)) {
    if (tensor.disposed || !tensor.block.host) continue;
    assert.deepEqual(tensor.dataSync(), await tensor.data(), 'the host knows other integers than the GPU');
  }
}

const folder = join(ROOT, 'tests/vectors');
const absent = new Set<string>();

for (const file of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
  test(basename(file, '.safetensors'), async () => {
    const bytes = readFileSync(join(folder, file));
    await rt.scope(async () => {
      const ops = [...OPS, ...ONNX_OPS].map((op) => ({
        ...op,
        run: async (...args: Parameters<typeof op.run>) => {
          const results = await op.run(...args);
          await expectMirrors();
          return results;
        },
      }));
      const result = await replay(rt, bytes, ops);
      if (result.absent) absent.add(result.op);
      if (result.absent && ABSENT.includes(result.op)) return;
      assert.ok(result.passed, `${result.op}: ${result.reason}`);
    });
    // whatever went wrong on the device, went wrong in this case
    await rt.ready();
  });
}

test('what is not on WebGPU is what is said not to be', () => {
  assert.deepEqual([...absent].sort(), [...ABSENT].sort());
});
