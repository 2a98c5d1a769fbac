import { agreementTable } from '../agreement.ts';
import type { Generated } from '../generate.ts';
import { generationTable } from '../pace.ts';
import type { KvCache } from './cache.ts';
import type { Check } from './check.ts';

/** Formats speeds of a generation and the size of its cache. */
export function generationReport(generated: Generated, cache: KvCache): string {
  return `${generationTable(generated)}\n${cacheLine(cache)}, ${cache.length * cache.bytesPerToken} in use`;
}

/** Formats a comparison with llama2.c. */
export function checkReport({ forms, bound, greedy }: Check, cache: KvCache): string {
  const isSame = greedy.same === greedy.of;
  const verdict = isSame ? 'ok' : cache.type === 'f32' ? 'WRONG' : 'differs, as an inexact cache may';
  return [
    agreementTable(forms, bound),
    `greedy text: the first ${greedy.same} of ${greedy.of} tokens are llama2.c's: ${verdict}`,
    'logit error: largest difference, relative to the largest logit of its position.',
    cacheLine(cache),
  ].join('\n');
}

function cacheLine({ type, bytes, bytesPerToken, size }: KvCache): string {
  return `cache: ${type}, ${bytes} bytes for ${size.capacity} tokens, ${bytesPerToken} per token`;
}
