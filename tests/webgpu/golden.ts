/**
 * Golden cases on a GPU.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { replay } from '../../src/cli/replay.ts';
import { bothRuntimes } from './both.ts';

const FOLDER = new URL('../vectors/', import.meta.url);

/** Adds a test for every golden case of the named operations. */
export function goldenOnGpu(ops: readonly string[]): void {
  for (const op of ops) {
    const files = readdirSync(FOLDER).filter((file) => file.startsWith(`${op}--`) && file.endsWith('.safetensors'));
    test(`golden: ${op}`, async () => {
      assert.ok(files.length > 0, `no golden cases of ${op}`);
      const { gpu } = await bothRuntimes();
      for (const file of files) {
        const { passed, reason } = await replay(gpu, readFileSync(new URL(file, FOLDER)));
        assert.ok(passed, `${file}: ${reason}`);
      }
    });
  }
}
