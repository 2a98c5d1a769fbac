import type { KVCache } from '../../src/cache/index.ts';
import { agreementTable, type Divergence } from '../agreement.ts';
import type { Generated } from '../generate.ts';
import { generationTable } from '../pace.ts';
import type { Check } from './check.ts';

/** Formats speeds of a generation, the size of its cache, and how it agrees with a cache that keeps everything. */
export function generationReport(generated: Generated, cache: KVCache, divergence?: Divergence): string {
  const lines = [generationTable(generated), `${cacheLine(cache)}, ${cache.bytes} bytes in use`];
  if (divergence) {
    const { rows, sameTop, kl } = divergence;
    lines.push(
      `beside all keys in f32, fed the same text: the likeliest token is the same for ${sameTop} of ${rows}, ` +
        `mean KL of the logits ${kl.toExponential(2)}`,
    );
  }
  return lines.join('\n');
}

/** Formats a comparison with llama2.c. */
export function checkReport({ forms, bound, greedy }: Check, cache: KVCache): string {
  const isSame = greedy.same === greedy.of;
  const verdict = isSame ? 'ok' : cache.dtype === 'f32' ? 'WRONG' : 'differs, as an inexact cache may';
  return [
    agreementTable(forms, bound),
    `greedy text: the first ${greedy.same} of ${greedy.of} tokens are llama2.c's: ${verdict}`,
    'logit error: largest difference, relative to the largest logit of its position.',
    cacheLine(cache),
  ].join('\n');
}

function cacheLine({ dtype, policy, pool, bytesPerToken, capacity }: KVCache): string {
  const kept = policy.kind === 'full' ? dtype : `${dtype}, ${policy.kind}`;
  const pages = pool ? `${pool.bytes} bytes of pages for ${capacity} tokens, ` : '';
  return `cache: ${kept}, ${pages}${bytesPerToken} bytes a token`;
}
