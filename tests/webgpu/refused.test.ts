import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { replay } from '../../src/cli/replay.ts';
import { ONNX_OPS } from '../../src/onnx/index.ts';
import { OPS } from '../../src/ops/registry.ts';
import { readSafetensors } from '../../src/safetensors.ts';
import { bothRuntimes } from './both.ts';

after(async () => (await bothRuntimes()).gpu.dispose());

const folder = process.env.WATTN_VECTORS ?? fileURLToPath(new URL('../vectors/', import.meta.url));

// One case of each operation says whether the rest of them has shaders: software drivers take long to compile them.
const cases = new Map<string, { file: string; bytes: Uint8Array }>();
for (const file of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
  const bytes = readFileSync(`${folder}/${file}`);
  const op = readSafetensors(bytes).metadata.get('op') ?? '';
  if (!cases.has(op)) cases.set(op, { file, bytes });
}

test('every operation matches its golden case, or is refused by name before anything ran, and leaves nothing behind', async (t) => {
  assert.ok(cases.size > 50, `${folder} holds cases of ${cases.size} operations`);
  const { gpu } = await bothRuntimes();
  const wrong: string[] = [];
  for (const [op, { file, bytes }] of cases) {
    const { pipelines } = gpu.info() as { pipelines: number };
    // scratch is the runtime's own, made once and grown: the first call may leave a block of it
    const first = await replay(gpu, bytes, [...OPS, ...ONNX_OPS]);
    const blocks = gpu.memory().blocks;
    const again = await replay(gpu, bytes, [...OPS, ...ONNX_OPS]);
    if (first.passed !== again.passed) wrong.push(`${file}: once ${first.reason}, then ${again.reason}`);
    if (gpu.memory().blocks !== blocks) wrong.push(`${file}: ${gpu.memory().blocks} blocks, ${blocks} before`);
    if (first.passed) continue;
    if (!first.absent) {
      wrong.push(`${file}: ${first.reason}`);
      continue;
    }
    t.diagnostic(`not on WebGPU: ${op}: ${first.reason}`);
    if (!/not on WebGPU: .+\. Use a runtime with the backend 'wasm'/.test(first.reason)) {
      wrong.push(`${file} is refused without a reason: ${first.reason}`);
    }
    const { pipelines: after } = gpu.info() as { pipelines: number };
    if (after !== pipelines) wrong.push(`${file} was refused, but compiled shaders`);
  }
  assert.deepEqual(wrong, []);
});
