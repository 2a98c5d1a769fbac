// Every code sample of the documentation: the type checker takes it, and it runs.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { createRuntime, type Runtime, Tensor } from '../../src/index.ts';
import { AXES, COMMON, PARTICULAR } from './operands.ts';
import { entries, exampleSamples, namesOf, onSources, pageSamples, ROOT, type Sample, typeErrors } from './samples.ts';

const folder = mkdtempSync(join(ROOT, 'tests/docs/.samples-'));
after(() => rmSync(folder, { recursive: true }));

const title = ({ file, line, symbol }: Sample) => `${file}:${line}${symbol && ` ${symbol}`}`;

const exportsOf: Record<string, Set<string>> = {};
before(async () => {
  for (const [entry, file] of Object.entries(entries())) {
    exportsOf[entry] = new Set(Object.keys(await import(pathToFileURL(join(ROOT, file)).href)));
  }
});

/** What an `@example` needs around it. @throws Error if it uses a name that nothing gives. */
function moduleOf(sample: Sample): string {
  const { symbol, code } = sample;
  const particular = PARTICULAR[symbol] ?? {};
  const lengths = Object.entries(particular).filter(([, n]) => typeof n === 'number');
  const axes = { ...AXES, ...Object.fromEntries(lengths) };
  const step = symbol.endsWith('Step');
  const imports = new Map<string, Set<string>>();
  const lines: string[] = [];
  const globals = new Set([...Object.getOwnPropertyNames(globalThis), 'undefined', 'rt']);
  const seen = new Set<string>();
  const given = (text: string) => {
    const { free, declared } = namesOf(text);
    for (const name of free) {
      if (globals.has(name) || seen.has(name)) continue;
      seen.add(name);
      const text = particular[name] ?? COMMON[name];
      const entry = Object.keys(exportsOf).find((entry) => exportsOf[entry]!.has(name));
      if (typeof text === 'string' && (particular[name] !== undefined || !entry)) {
        if (text.startsWith('= ')) {
          given(`(${text.slice(2)})`);
          lines.push(`const ${name} = ${text.slice(2)};`);
        } else {
          const timed = step ? text.replace(/ T\b/, '') : text;
          lines.push(`const ${name} = operand(rt, '${timed}', axes);`);
        }
      } else if (entry) imports.set(entry, (imports.get(entry) ?? new Set()).add(name));
      else
        throw new Error(
          `${title(sample)} uses '${name}', which no entry exports and tests/docs/operands.ts does not give`,
        );
    }
    return declared;
  };
  const declared = given(code);
  return onSources(
    [
      ...[...imports].map(([entry, names]) => `import { ${[...names].join(', ')} } from '${entry}';`),
      "import type { Runtime } from 'wattn';",
      "import { operand } from '../operands.ts';",
      `const axes = ${JSON.stringify(axes)};`,
      'export async function run(rt: Runtime) {',
      'void [operand, axes];',
      ...lines,
      // a block of its own: a sample may have a name that the function has
      `{\n${code}\nreturn { ${declared.join(', ')} };\n}`,
      '}',
    ].join('\n'),
    folder,
  );
}

const files = new Map<string, Sample>();
/** Writes a sample as a module; returns its path. */
function write(sample: Sample, code: string): string {
  const path = join(folder, `${files.size}.mts`);
  writeFileSync(path, code);
  files.set(path, sample);
  return path;
}

/** Fails if a tensor of a result has a NaN. */
async function expectNumbers(result: object): Promise<void> {
  for (const [name, value] of Object.entries(result)) {
    if (!(value instanceof Tensor) || value.disposed) continue;
    assert.ok(!(await value.data()).some(Number.isNaN), `${name} has a NaN`);
  }
}

/** What a sample prints is for its reader. */
async function silently<T>(body: () => Promise<T>): Promise<T> {
  const { log } = console;
  console.log = () => {};
  try {
    return await body();
  } finally {
    console.log = log;
  }
}

const examples = exampleSamples();
const pages = pageSamples();

test('every @example runs', async (t) => {
  assert.ok(examples.length > 200, `${examples.length} examples`);
  using rt: Runtime = await createRuntime();
  for (const sample of examples) {
    await t.test(title(sample), async () => {
      const path = write(sample, moduleOf(sample));
      const { run } = (await import(pathToFileURL(path).href)) as { run(rt: Runtime): Promise<object> };
      await silently(() => rt.scope(async () => expectNumbers(await run(rt))));
    });
  }
});

test('every sample of the pages runs', async (t) => {
  assert.ok(pages.length > 0);
  for (const sample of pages.filter(({ language }) => language === 'ts')) {
    await t.test(title(sample), async () => {
      const path = write(sample, `${onSources(sample.code, folder)}\nexport {};\n`);
      await silently(() => import(pathToFileURL(path).href));
    });
  }
});

test('the type checker takes every sample', () => {
  const errors = typeErrors([...files.keys()]).map((error) => {
    const at = error.file && files.get(error.file.fileName);
    return `${at ? title(at) : ''}: ${ts.flattenDiagnosticMessageText(error.messageText, '\n')}`;
  });
  assert.deepEqual(errors, []);
});
