/**
 * The table of every method, from the registry.
 *
 * @module
 */
import { ONNX_OPS } from '../../src/onnx/registry.ts';
import { OPS, type OpEntry } from '../../src/ops/registry.ts';
import { CACHES, FAMILIES, SEGMENTS } from './families.ts';

/** Results that are called as an operand and yet are no state. */
const NO_STATE = new Set(['o', 'lse', 'gate', 'indices', 'counts', 'scale', 'offset', 'qCentroids', 'kCentroids']);

const capital = (name: string) => name.slice(0, 1).toUpperCase() + name.slice(1);

/** States of an operation: operands that the call before gave, with their results. */
export function statesOf({ inputs, outputs }: OpEntry): { operand: string; result: string }[] {
  const names = inputs.map((name) => name.replace('?', ''));
  return outputs
    .map((output) => output.replace('?', ''))
    .flatMap((result) => {
      if (NO_STATE.has(result)) return [];
      const stem = capital(result.replace(/^(final|present_)/, ''));
      const candidates = [`initial${stem}`, `past_${stem.toLowerCase()}`, result];
      const operand = candidates.find((name) => names.includes(name));
      return operand ? [{ operand, result }] : [];
    });
}

/** One row of the table. */
export interface Method {
  readonly entry: OpEntry;
  readonly family: string;
  /** Exported function. */
  readonly symbol: string;
  /** How it is called. */
  readonly forms: readonly { readonly text: string; readonly symbol?: string }[];
  readonly states: readonly { operand: string; result: string }[];
}

/** Every operation, in the order of its family. @throws Error for one that no family or more than one has. */
export function methods(exported: ReadonlyMap<string, string>): Method[] {
  const entries = new Map([...OPS, ...ONNX_OPS].map((entry) => [entry.name, entry]));
  const rows = FAMILIES.flatMap(({ title, form, ops }) =>
    ops.map((listed): Method => {
      const name = listed.replace(/[()]/g, '');
      const entry = entries.get(name);
      if (!entry) throw new Error(`family '${title}' names '${name}', which the registry has not, or twice`);
      entries.delete(name);
      const symbol = name.replace('onnx:', '');
      const step = `${symbol}Step`;
      const segment = SEGMENTS[name];
      const cache = CACHES[name];
      const forms = [
        { text: name === listed ? form : 'call' },
        ...(exported.has(step) ? [{ text: 'step', symbol: step }] : []),
        ...(segment ? [{ text: 'segment', symbol: segment }] : []),
        ...(cache ? [{ text: cache[1] ? `${cache[0]}, ${cache[1]}` : cache[0], symbol: cache[0] }] : []),
      ];
      return { entry, family: title, symbol, forms, states: statesOf(entry) };
    }),
  );
  if (entries.size > 0) throw new Error(`scripts/docs/families.ts has no family for ${[...entries.keys()].join(', ')}`);
  return rows;
}

/** The table as Markdown; `link` makes a link to what a symbol is documented by. */
export function methodsTable(rows: readonly Method[], link: (symbol: string, text: string) => string): string {
  const lines: string[] = [];
  for (const family of new Set(rows.map((row) => row.family))) {
    lines.push(
      `## ${family}`,
      '',
      '<div class="methods">',
      '',
      '| method | computes, paper | forms | states | backends |',
      '|---|---|---|---|---|',
    );
    for (const { entry, symbol, forms, states } of rows.filter((row) => row.family === family)) {
      const cells = [
        `${link(symbol, `\`${symbol}\``)}<br><small>${link(symbol, 'example')}</small>`,
        entry.paper ? `${entry.doc}<br><small>${entry.paper}</small>` : entry.doc,
        forms.map((form) => (form.symbol ? link(form.symbol, form.text) : form.text)).join('<br>'),
        states
          .map(({ operand, result }) => (operand === result ? `\`${result}\`` : `\`${operand}\` → \`${result}\``))
          .join('<br>'),
        'wasm, webgpu',
      ];
      lines.push(`| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
    }
    lines.push('', '</div>', '');
  }
  return lines.join('\n');
}
