import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { replay } from '../../src/cli/replay.ts';
import { FlexAttention, ONNX_OPS, RMSNormalization, TensorScatter } from '../../src/onnx/index.ts';
import { readSafetensors } from '../../src/safetensors.ts';
import { bothRuntimes, sameOnBoth } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

// ONNX's own node tests, dumped as golden cases; they are not part of the repository.
const folder = process.env.WATTN_ONNX ?? fileURLToPath(new URL('../../../shared/onnx/', import.meta.url));

for (const { name } of ONNX_OPS) {
  test(`ONNX's own cases of ${name} on both backends`, async (t) => {
    if (!existsSync(folder)) {
      t.skip(`no ONNX cases were run: ${folder} does not exist. Set WATTN_ONNX to the folder that holds them.`);
      return;
    }
    const cases = readdirSync(folder)
      .filter((file) => file.endsWith('.safetensors'))
      .map((file) => ({ file, bytes: readFileSync(`${folder}/${file}`) }))
      .filter(({ bytes }) => readSafetensors(bytes).metadata.get('op') === name);
    const { wasm, gpu } = await bothRuntimes();
    const absent: string[] = [];
    for (const { file, bytes } of cases) {
      const expected = await replay(wasm, bytes, ONNX_OPS);
      assert.ok(expected.passed, `wasm ${file}: ${expected.reason}`);
      const blocks = gpu.memory().blocks;
      const got = await replay(gpu, bytes, ONNX_OPS);
      if (got.absent) {
        absent.push(`${file}: ${got.reason}`);
        assert.equal(gpu.memory().blocks, blocks, `${file} was refused, and left memory behind`);
      } else {
        assert.ok(got.passed, `webgpu ${file}: ${got.reason}`);
      }
    }
    for (const line of absent) t.diagnostic(`not on WebGPU: ${line}`);
    t.diagnostic(`${cases.length - absent.length} of ${cases.length} cases on webgpu`);
  });
}

test('caches of every element type, rows at odd places', async () => {
  for (const dtype of ['f32', 'f16', 'bf16', 'u8', 'i8', 'i32'] as const) {
    const data = (n: number) => {
      if (dtype === 'u8') return Uint8Array.from({ length: n }, (_, i) => (i * 37) % 251);
      if (dtype === 'i8') return Int8Array.from({ length: n }, (_, i) => ((i * 37) % 251) - 125);
      if (dtype === 'i32') return Int32Array.from({ length: n }, (_, i) => i * 7919 - 5000);
      return Float32Array.from({ length: n }, (_, i) => ((i * 37) % 251) / 16 - 7);
    };
    await sameOnBoth(
      (rt) => ({
        past_cache: rt.tensor(data(2 * 3 * 7 * 5), [2, 3, 7, 5], dtype),
        update: rt.tensor(data(2 * 3 * 3 * 5).reverse(), [2, 3, 3, 5], dtype),
        write_indices: rt.tensor(Int32Array.of(5, 1), [2]),
      }),
      (inputs) => TensorScatter(inputs, { mode: 'circular' }),
      0,
    );
  }
});

test('a scale that repeats is read before the layout', async () => {
  await sameOnBoth(
    (rt) => ({
      X: rt.tensor(
        Float32Array.from({ length: 30 }, (_, i) => Math.sin(i)),
        [5, 2, 3],
      ),
      scale: rt.tensor([0.5, 2], [2, 1]),
    }),
    (inputs) => RMSNormalization(inputs, { axis: 1 }),
    1e-6,
  );
});

test('FlexAttention without keys gives zeros', async () => {
  await sameOnBoth(
    (rt) => ({ Q: rt.zeros([1, 2, 3, 4]), K: rt.zeros([1, 2, 0, 4]), V: rt.zeros([1, 2, 0, 4]) }),
    (inputs) => FlexAttention(inputs),
    0,
  );
});
