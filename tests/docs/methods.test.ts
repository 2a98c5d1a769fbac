// The table of methods and the page of errors, against what the package has.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { entries, exported, ROOT } from '../../scripts/docs/entries.ts';
import { CACHES, SEGMENTS } from '../../scripts/docs/families.ts';
import { type Method, methods, methodsTable } from '../../scripts/docs/methods.ts';
import { KVCache } from '../../src/cache/index.ts';
import { cacheTypes, layerKind } from '../../src/cache/layer-kinds.ts';
import * as errors from '../../src/errors.ts';
import * as wattn from '../../src/index.ts';
import { ONNX_OPS } from '../../src/onnx/registry.ts';
import { OPS } from '../../src/ops/registry.ts';
import { operand } from './operands.ts';

let names: ReadonlyMap<string, string>;
let rows: readonly Method[];
before(async () => {
  names = await exported();
  rows = methods(names);
});

const runtime = await wattn.createRuntime({ threads: 1 });
after(() => runtime.dispose());

test('the table has a row for every operation, and every link of it leads to an export', () => {
  const linked: string[] = [];
  const table = methodsTable(rows, (symbol, text) => {
    linked.push(symbol);
    return `[${text}](${symbol})`;
  });
  const lines = table.split('\n').filter((line) => line.startsWith('| ['));
  assert.equal(lines.length, OPS.length + ONNX_OPS.length);
  for (const { entry, symbol } of rows) {
    const paper = entry.paper && `<br><small>${entry.paper}</small>`;
    const row = `| [\`${symbol}\`](${symbol})<br><small>[example](${symbol})</small> | ${entry.doc}${paper} |`;
    assert.ok(
      lines.some((line) => line.startsWith(row)),
      row,
    );
  }
  assert.deepEqual(
    linked.filter((symbol) => !names.has(symbol)),
    [],
  );
});

test('every exported step is a form of its method, and has the states of it', () => {
  const steps = [...names.keys()].filter((name) => /^[a-z]\w*Step$/.test(name));
  const listed = rows.flatMap(({ forms }) => forms.flatMap(({ text, symbol }) => (text === 'step' ? [symbol] : [])));
  assert.deepEqual(listed.sort(), steps.sort());
  const stateless = rows.filter(
    ({ forms, states }) => forms.some(({ text }) => text === 'step') && states.length === 0,
  );
  assert.deepEqual(stateless, []);
});

test('every result that is called final, and every initial operand, is a state', () => {
  for (const { entry, states } of rows) {
    const results = entry.outputs.filter((name) => /^(final|present_)/.test(name)).map((name) => name.replace('?', ''));
    const operands = entry.inputs
      .filter((name) => /^(initial[A-Z]|past_)/.test(name))
      .map((name) => name.replace('?', ''));
    assert.deepEqual(
      results.filter((name) => !states.some(({ result }) => result === name)),
      [],
      entry.name,
    );
    assert.deepEqual(
      operands.filter((name) => !states.some(({ operand }) => operand === name)),
      [],
      entry.name,
    );
  }
});

for (const [name, segment] of Object.entries(SEGMENTS)) {
  test(`segments of ${name} by ${segment}, joined, are its final state`, async () => {
    const axes = { B: 1, T: 48, H: 2, D: 16 };
    const all = {
      q: 'B T H D',
      k: 'B T H D',
      v: 'B T H D',
      beta: '+ B T H',
      g: name === 'kda' ? '- B T H D' : '- B T H',
      gk: '- B T H D',
      initialState: 'B H D D',
    };
    await runtime.scope(async () => {
      const { inputs, run } = OPS.find((op) => op.name === name)!;
      const given = Object.fromEntries(
        Object.entries(all).flatMap(([input, text]) =>
          inputs.some((known) => known.replace('?', '') === input) ? [[input, operand(runtime, text, axes)]] : [],
        ),
      );
      const options = segment === 'deltaSegment' ? { useQkL2norm: true } : {};
      const whole = await run(given, options);
      const { q: _q, initialState, g, ...rest } = given;
      // kda's gate of rows is g, that of segments gk
      const gate = g && { [name === 'kda' ? 'gk' : 'g']: g };
      const state = runtime.tensor(await initialState!.data(), initialState!.shape);
      for (const [from, to] of [
        [0, 17],
        [17, 48],
      ] as const) {
        const part = Object.fromEntries(
          Object.entries({ ...rest, ...gate }).map(([n, x]) => [n, x.slice(1, from, to)]),
        );
        if (segment === 'linearSegment')
          await wattn.joinSegment({ state, ...(await wattn.linearSegment(part as never)) });
        else await wattn.joinDeltaSegment({ state, ...(await wattn.deltaSegment(part as never, options)) });
      }
      const [want, got] = [await whole.finalState!.data(), await state.data()];
      want.forEach((x, i) => {
        assert.ok(Math.abs(x - got[i]!) < 1e-4, `${i}: ${got[i]}, expected ${x}`);
      });
    });
  });
}

test('every cache of the table takes the setting it is named with', () => {
  for (const [name, [cache, setting]] of Object.entries(CACHES)) {
    assert.ok(names.has(cache), cache);
    const [what, ...values] = setting.match(/\w+/g) ?? [];
    for (const value of values) {
      if (what === 'dtype') assert.ok((cacheTypes as readonly string[]).includes(value), value);
      else if (cache === 'KVCache') {
        assert.ok(
          ['f32', 'f16'].some((dtype) => layerKind('', value as 'full', dtype as 'f32').kind === value),
          name,
        );
      } else
        assert.ok(readFileSync(join(ROOT, 'src/cache/side-tables.ts'), 'utf8').includes(`kind: '${value}'`), value);
    }
  }
});

test('the page of errors has a row for every error, and no other', () => {
  const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
  const listed = Array.from(page.matchAll(/^\| `(\w+)` \|/gm), ([, name]) => name!);
  assert.deepEqual(
    listed.sort(),
    Object.keys(errors)
      .filter((name) => name !== 'WattnError')
      .sort(),
  );
});

test('the quick start names every entry', () => {
  const page =
    readFileSync(join(ROOT, 'docs/quick-start.md'), 'utf8') + readFileSync(join(ROOT, 'docs/porting.md'), 'utf8');
  for (const entry of Object.keys(entries()))
    assert.ok(page.includes(`\`${entry}\``) || page.includes(`'${entry}'`), entry);
});

test('the reasons that the page of threads lists are those of the sources', () => {
  const sources = ['features', 'start', 'pool']
    .map((name) => readFileSync(join(ROOT, `src/runtime/${name}.ts`), 'utf8'))
    .join('');
  // literals that go on in the next line
  const texts = sources.replace(/['`] \+\n\s*['`]/g, '').replace(/\$\{[^}]*\}/g, '...');
  const page = readFileSync(join(ROOT, 'docs/threads.md'), 'utf8').split('## Reasons')[1]!;
  const reasons = Array.from(page.matchAll(/^\| `(.*?)` \|/gm), ([, reason]) => reason!);
  assert.ok(reasons.length > 5);
  for (const reason of reasons) {
    for (const part of reason
      .replace(/\b\d\b/g, '...')
      .replace(/'[\w-]+-shared'/, "'...'")
      .split(/ ?\.\.\. ?/)) {
      assert.ok(texts.includes(part), `'${part}' of '${reason}' is in no source`);
    }
  }
});

test('the bytes of a token are what the page of memory says', () => {
  const page = readFileSync(join(ROOT, 'docs/memory.md'), 'utf8');
  const [Hkv, D] = [2, 64];
  const bytes = {
    f32: [8 * Hkv * D, '| `f32` | 8 Hkv D |'],
    f16: [4 * Hkv * D, '| `f16`, `bf16` | 4 Hkv D |'],
    bf16: [4 * Hkv * D, '| `f16`, `bf16` | 4 Hkv D |'],
    int8: [2 * Hkv * (D + 4), '| `int8` | 2 Hkv (D + 4)'],
    int4: [Hkv * (D + D / 4), '| `int4` | Hkv (D + D / 4)'],
    kivi4: [1.5 * Hkv * D, '| `kivi4` | 1.5 Hkv D |'],
    kivi2: [Hkv * D, '| `kivi2` | Hkv D |'],
  } as const;
  for (const [dtype, [count, row]] of Object.entries(bytes)) {
    using cache = new KVCache(runtime, { layers: 1, kvHeads: Hkv, headDim: D, capacity: 4096, dtype: dtype as 'f32' });
    assert.equal(cache.bytesPerToken, count, dtype);
    assert.ok(page.includes(row), row);
  }
});

test('what the guide to choosing says of measured error is in the tables it is from', () => {
  const guide = readFileSync(join(ROOT, 'docs/choosing.md'), 'utf8');
  const measured = readFileSync(join(ROOT, 'docs/sparse-quality.md'), 'utf8').split('\n## ')[1]!;
  const rows = [...guide.matchAll(/^\| `(\w+)` \| (.*) \| ([\d.]+) % \| ([\d.]+) \|$/gm)];
  assert.equal(rows.length, 10);
  for (const [, method, setting, density, error] of rows) {
    const row = measured.split('\n').find((line) => line.startsWith(`| ${method} `) && line.includes(`| ${setting} `));
    assert.ok(row, `${method}, ${setting}`);
    const [, , , share, figure] = row.split('|').map((cell) => cell.trim());
    assert.equal(Number.parseFloat(share!), Number(density), row);
    assert.ok(Math.abs(Number(figure) - Number(error)) < 0.00051, row);
  }
});
