import Table from 'cli-table3';
import type { KvCache } from './cache.ts';
import type { Check } from './check.ts';
import type { Generated, Pace } from './generate.ts';

/** Formats speeds of a generation and the size of its cache. */
export function generationTable({ prefill, decode }: Generated, cache: KvCache): string {
  const table = newTable(['', 'tokens', 'ms', 'tokens/s']);
  table.push(['prefill', ...pace(prefill)], ['decode', ...pace(decode)]);
  return `${table.toString()}\n${cacheLine(cache)}, ${cache.length * cache.bytesPerToken} in use`;
}

/** Formats a comparison with llama2.c. */
export function checkTable({ forms, bound, greedy }: Check, cache: KvCache): string {
  const table = newTable(['', 'tokens', 'ms', 'tokens/s', 'logit error', 'at most', 'same top token', '']);
  for (const {
    form,
    error,
    sameTop,
    pace: { tokens, ms },
  } of forms) {
    const verdict = error <= bound ? 'ok' : 'WRONG';
    table.push([
      form,
      ...pace({ tokens, ms }),
      error.toExponential(2),
      bound.toExponential(0),
      `${sameTop}/${tokens}`,
      verdict,
    ]);
  }
  const isSame = greedy.same === greedy.of;
  const verdict = isSame ? 'ok' : cache.type === 'f32' ? 'WRONG' : 'differs, as an inexact cache may';
  return [
    table.toString(),
    `greedy text: the first ${greedy.same} of ${greedy.of} tokens are llama2.c's: ${verdict}`,
    'logit error: largest difference, relative to the largest logit of its position.',
    cacheLine(cache),
  ].join('\n');
}

function cacheLine({ type, bytes, bytesPerToken, size }: KvCache): string {
  return `cache: ${type}, ${bytes} bytes for ${size.capacity} tokens, ${bytesPerToken} per token`;
}

function pace({ tokens, ms }: Pace): [number, string, string] {
  return [tokens, ms.toFixed(1), tokens === 0 ? '-' : ((1000 * tokens) / ms).toFixed(0)];
}

function newTable(head: string[]): InstanceType<typeof Table> {
  return new Table({
    head,
    colAligns: head.map((name) => (name === '' ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
}
