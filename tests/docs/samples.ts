/**
 * Code samples of the documentation: where they stand, and as modules that a compiler and a runtime take.
 *
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { entries, ROOT } from '../../scripts/docs/entries.ts';

/** A fenced block of a Markdown page, or an `@example`. */
export interface Sample {
  /** Path from the root of the repository. */
  readonly file: string;
  /** Line of its first line of code, from 1. */
  readonly line: number;
  /** Language of the fence, with what follows it; 'ts' for an `@example`. */
  readonly language: string;
  /** What is documented: `gla`, `KVCache.fork`, `features.elu1`; empty on a page. */
  readonly symbol: string;
  readonly code: string;
  /** Why it is not run, by a comment `<!-- not run: ... -->` before it; empty where it is. */
  readonly notRun: string;
}

/** Fenced blocks of a Markdown text. */
export function samplesOfPage(file: string, text: string): Sample[] {
  const block = /(?:^<!-- not run: (.*) -->\n)?^```([^\n]*)\n([\s\S]*?)^```$/gm;
  return [...text.matchAll(block)].map(({ 1: notRun = '', 2: language, 3: code, index }) => ({
    file,
    line: text.slice(0, index).split('\n').length + (notRun === '' ? 1 : 2),
    language: language!.trim(),
    symbol: '',
    code: code!,
    notRun,
  }));
}

/** Fenced blocks of the README, of bench's, and of every page of docs/. */
export function pageSamples(): Sample[] {
  const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  return ['README.md', 'bench/README.md', ...pages.map((name) => `docs/${name}`)].flatMap((file) =>
    samplesOfPage(file, readFileSync(join(ROOT, file), 'utf8')),
  );
}

function nameOf(node: ts.Node, file: string): string {
  const name = (node as ts.NamedDeclaration).name?.getText() ?? '';
  if (ts.isClassElement(node)) return `${(node.parent as ts.ClassDeclaration).name?.text}.${name}`;
  return file.endsWith('ops/features.ts') ? `features.${name}` : name;
}

/** Every `@example` of the sources. */
export function exampleSamples(): Sample[] {
  const samples: Sample[] = [];
  for (const name of readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).sort()) {
    if (!name.endsWith('.ts') || name.startsWith('generated')) continue;
    const file = join('src', name);
    const source = ts.createSourceFile(file, readFileSync(join(ROOT, file), 'utf8'), ts.ScriptTarget.ES2022, true);
    const visit = (node: ts.Node) => {
      for (const tag of ts.getJSDocTags(node)) {
        // a parameter has the tags of its function too
        if (tag.tagName.text !== 'example' || tag.parent.parent !== node) continue;
        const raw = source.text.slice(tag.tagName.end, tag.end).replace(/\s*\*?\/?\s*$/, '');
        const code = raw.replace(/\n\s*\* ?/g, '\n');
        const blank = /^\s*/.exec(code)![0];
        const at = tag.tagName.end + raw.search(/\S(?<!\*)|[^\s*]/);
        samples.push({
          file,
          line: source.getLineAndCharacterOfPosition(at).line + 1,
          language: 'ts',
          symbol: nameOf(node, file),
          code: `${code.slice(blank.length)}\n`,
          notRun: '',
        });
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return samples;
}

/** Names that the code uses and does not declare, and names that it declares outside of functions. */
export function namesOf(code: string): { free: string[]; declared: string[] } {
  const source = ts.createSourceFile('sample.ts', code, ts.ScriptTarget.ES2022, true);
  const used = new Set<string>();
  const bound = new Set<string>();
  const declared = new Set<string>();
  const bind = (name: ts.BindingName, top: boolean) => {
    if (ts.isIdentifier(name)) {
      bound.add(name.text);
      if (top) declared.add(name.text);
    } else for (const element of name.elements) if (ts.isBindingElement(element)) bind(element.name, top);
  };
  const visit = (node: ts.Node) => {
    if (ts.isVariableDeclaration(node)) bind(node.name, node.parent.parent.parent === source);
    else if (ts.isParameter(node)) bind(node.name, false);
    else if (ts.isFunctionDeclaration(node) && node.name) bound.add(node.name.text);
    else if (ts.isImportDeclaration(node)) return;
    if (ts.isIdentifier(node)) {
      const { parent } = node;
      const member =
        (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
        (ts.isPropertyAssignment(parent) && parent.name === node) ||
        (ts.isBindingElement(parent) && parent.propertyName === node) ||
        ts.isTypeNode(parent);
      if (!member) used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { free: [...used].filter((name) => !bound.has(name)), declared: [...declared] };
}

/** The code with imports of the package made imports of its sources, for a module in `folder`. */
export function onSources(code: string, folder: string): string {
  const known = entries();
  return code.replace(/(from\s+|import\(\s*)'(wattn[\w/-]*)'/g, (whole, how: string, entry: string) =>
    known[entry] ? `${how}'${relative(folder, join(ROOT, known[entry]))}'` : whole,
  );
}

/** Errors of the type checker in these files. */
export function typeErrors(files: readonly string[]): ts.Diagnostic[] {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const program = ts.createProgram(files, { ...options, noUnusedLocals: false, noUnusedParameters: false });
  return files.flatMap((file) => {
    const source = program.getSourceFile(file);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
  });
}
