import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { makePatch } from '../scripts/make-patch.ts';
import { OptionError } from '../src/errors.ts';
import * as external from '../src/external.ts';
import { createRuntime } from '../src/index.ts';
import { applyPatch } from '../src/runtime/patch.ts';

const bytesOf = (build: string) => readFileSync(new URL(`../build/wasm/${build}.wasm`, import.meta.url));
type WasmOptions = external.ExternalRuntimeOptions & { backend?: 'wasm' };

const compiled = (build: string) => new WebAssembly.Module(bytesOf(build));

/** Attention of one head over four tokens, computed on a runtime of given modules; and what the runtime is. */
async function attend(options: WasmOptions) {
  using rt = await external.createRuntime(options);
  const x = rt.tensor([1, 0, 0, 1, 1, 1, 0, 0], [1, 4, 1, 2]);
  const { o } = await external.attention({ q: x, k: x, v: x }, { causal: true });
  const first = Array.from((await o.data()) as Float32Array).slice(0, 2);
  return { first, info: rt.info() };
}

test('a patch makes its target, whatever the bytes', () => {
  const bytes = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 200 }).map((list) => Uint8Array.from(list));
  fc.assert(
    fc.property(bytes, bytes, (source, target) => {
      assert.deepEqual(applyPatch(source, makePatch(source, target)), target);
    }),
  );
});

test('modules are taken compiled, as bytes, as an answer, as a promise and from a function', async () => {
  const forms: external.GivenModule[] = [
    compiled('simd'),
    bytesOf('simd'),
    new Uint8Array(bytesOf('simd')).buffer,
    new Response(bytesOf('simd')),
    Promise.resolve(bytesOf('simd')),
    () => bytesOf('simd'),
    async () => compiled('simd'),
  ];
  for (const simd of forms) {
    const { first, info } = await attend({ modules: { simd }, variant: 'simd', threads: 1 });
    assert.deepEqual(first, [1, 0]);
    assert.equal(info.build, 'simd');
  }
});

test('only the build that the device takes is asked for', async () => {
  const asked: string[] = [];
  const load = (build: string) => () => {
    asked.push(build);
    return bytesOf(build);
  };
  await attend({ modules: { simd: load('simd'), relaxed: load('relaxed') }, variant: 'simd', threads: 1 });
  assert.deepEqual(asked, ['simd']);
});

test('from bytes the shared form is made; a compiled module without it leaves one thread, and says so', async () => {
  const made = await attend({ modules: { simd: bytesOf('simd') }, variant: 'simd', threads: 2 });
  assert.deepEqual([made.info.build, made.info.threads], ['simd-shared', 2]);
  const given = await attend({ modules: { 'simd-shared': compiled('simd-shared') }, variant: 'simd', threads: 2 });
  assert.deepEqual([given.info.build, given.info.threads], ['simd-shared', 2]);
  const alone = await attend({ modules: { simd: compiled('simd') }, variant: 'simd' });
  assert.deepEqual([alone.info.build, alone.info.threads], ['simd', 1]);
  assert.match(alone.info.threadsReason, /have no 'simd-shared'/);
  await assert.rejects(attend({ modules: { simd: compiled('simd') }, variant: 'simd', threads: 2 }), {
    name: 'OptionError',
    message: /2 threads were asked for, but the modules given have no 'simd-shared'/,
  });
});

test('the main entry takes modules too', async () => {
  using rt = await createRuntime({ modules: { simd: bytesOf('simd') }, variant: 'simd', threads: 1 });
  assert.equal(rt.info().build, 'simd');
});

test('what is no build is refused by name', async () => {
  const refuse = (modules: unknown, message: RegExp) =>
    assert.rejects(attend({ modules, variant: 'simd', threads: 1 } as WasmOptions), (error) => {
      assert.ok(error instanceof OptionError);
      assert.match(error.message, message);
      return true;
    });
  await refuse(undefined, /needs \{ modules \}/);
  await refuse({}, /have no 'simd'/);
  await refuse({ simd: undefined }, /have no 'simd'/);
  await refuse({ smd: bytesOf('simd') }, /modules has no 'smd'/);
  await refuse({ simd: 5 }, /modules\['simd'\] is 5/);
  await refuse(
    { simd: new TextEncoder().encode('<!doctype html>') },
    /begins with "<!doctype ht", which is not WebAssembly/,
  );
  await refuse({ simd: new Response('no', { status: 404 }) }, /the answer 404/);
  await refuse({ simd: new Uint8Array(0) }, /begins with ""/);
});
