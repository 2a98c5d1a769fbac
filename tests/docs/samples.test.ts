// Every code sample of the documentation: the type checker takes it, and it runs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { format } from 'node:util';
import ts from 'typescript';
import { entries, ROOT } from '../../scripts/docs/entries.ts';
import { createRuntime, type Runtime, Tensor } from '../../src/index.ts';
import { ISOLATED } from '../browser/server.ts';
import { missing } from '../portable/place.ts';
import { missingGpu, testGpu } from '../webgpu/dawn.ts';
import { AXES, COMMON, PARTICULAR } from './operands.ts';
import { exampleSamples, namesOf, onSources, pageSamples, type Sample, typeErrors } from './samples.ts';

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

/** Lines that a sample prints, which are for its reader. */
async function printed(body: () => Promise<unknown>): Promise<string[]> {
  const { log } = console;
  const lines: string[] = [];
  console.log = (...values) => lines.push(format(...values));
  try {
    await body();
  } finally {
    console.log = log;
  }
  return lines;
}

/** What a sample says that it prints: comments behind calls of console.log. */
function promised(code: string): string[] {
  return Array.from(code.matchAll(/^\s*console\.log\(.*\);? \/\/ (.*)$/gm), ([, line]) => line!);
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
      await printed(() => rt.scope(async () => expectNumbers(await run(rt))));
    });
  }
});

test('every operand of tests/docs/operands.ts is of an example', () => {
  const symbols = new Set(examples.map(({ symbol }) => symbol));
  assert.deepEqual(
    Object.keys(PARTICULAR).filter((symbol) => !symbols.has(symbol)),
    [],
  );
});

/** Builds that a sample imports as files; a platform that imports them has compiled them. */
function withoutWasmImports(code: string): string {
  return code.replace(
    /^import (\w+) from 'wattn\/([\w-]+\.wasm)';$/gm,
    (_, name: string, file: string) =>
      `import { readFileSync as read_${name} } from 'node:fs';\n` +
      `const ${name} = () => WebAssembly.compile(read_${name}(${JSON.stringify(join(ROOT, 'build/wasm', file))}));`,
  );
}

/** Runs something where navigator.gpu is, as in a browser. */
async function withGpu<R>(body: () => Promise<R>): Promise<R> {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { gpu: await testGpu() }, configurable: true });
  try {
    return await body();
  } finally {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else Reflect.deleteProperty(globalThis, 'navigator');
  }
}

/** What each language of the pages is checked by. */
const CHECKS: Record<string, (sample: Sample) => Promise<void> | void> = {
  async ts(sample) {
    const path = write(sample, `${onSources(sample.code, folder)}\nexport {};\n`);
    const run = () => printed(() => import(pathToFileURL(path).href));
    const lines = sample.code.includes("backend: 'webgpu'") ? await withGpu(run) : await run();
    for (const line of promised(sample.code)) assert.ok(lines.includes(line), `it printed ${lines.join(' | ')}`);
  },
  async js(sample) {
    if (sample.notRun !== '') {
      const { diagnostics } = ts.transpileModule(sample.code, { reportDiagnostics: true });
      return assert.deepEqual(diagnostics, []);
    }
    const path = join(folder, `page-${sample.line}.mjs`);
    writeFileSync(path, onSources(withoutWasmImports(sample.code), folder));
    const module = (await import(pathToFileURL(path).href)) as {
      default?: { fetch?(): Promise<Response>; server?: { headers: object } };
    };
    if (module.default?.fetch) assert.equal((await module.default.fetch()).status, 200);
    else assert.deepEqual(module.default?.server?.headers, ISOLATED);
  },
  sh({ code }) {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: code, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const cli = readFileSync(join(ROOT, 'src/cli/main.ts'), 'utf8');
    for (const [, script] of code.matchAll(/npm (?:run )?(?!ci|install|run)([\w:]+)/g)) {
      assert.ok(Object.hasOwn(scripts, script!), `package.json has no script '${script}'`);
    }
    for (const [, command] of code.matchAll(/npx wattn (\w+)/g)) {
      assert.ok(cli.includes(`.command('${command}')`), `wattn has no command '${command}'`);
    }
    for (const [, file] of code.matchAll(/npx tsx (\S+)/g)) assert.ok(existsSync(join(ROOT, file!)), `no ${file}`);
  },
  python({ code }) {
    const { status, stderr } = spawnSync('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], {
      input: code,
      encoding: 'utf8',
    });
    // no part of wattn needs python
    if (status !== null) assert.equal(status, 0, stderr);
  },
  http({ code }) {
    for (const line of code.trimEnd().split('\n')) assert.match(line, /^[A-Z][\w-]+: \S/);
  },
  // tests/docs/browser.test.ts opens them
  html: () => {},
};

test('every sample of the pages runs', async (t) => {
  assert.ok(pages.length > 0);
  for (const sample of pages) {
    await t.test(`${title(sample)} (${sample.language})`, async (t) => {
      const check = CHECKS[sample.language];
      assert.ok(check, `nothing checks samples of the language '${sample.language}'`);
      assert.ok(sample.language !== 'python' || sample.notRun !== '', 'nothing runs Python: say why it is not run');
      if (sample.code.includes("backend: 'webgpu'") && sample.notRun === '' && missingGpu() !== '') {
        return missing(t, missingGpu());
      }
      if (sample.notRun !== '') t.diagnostic(`not run: ${sample.notRun}`);
      await check(sample);
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
