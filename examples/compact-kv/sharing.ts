import { attentionSync, cascadeAttentionSync, type Runtime, ringAttentionSync, type Tensor } from '../../src/index.ts';
import { shortest } from './timing.ts';

const [BATCH, PREFIX, OWN] = [16, 4096, 64];
const [HEADS, DIM] = [8, 64];
const [TOKENS, SHARDS] = [2048, 8];

/** Lines about a shared prefix and about shards, each against attention to whole keys. */
export async function sharing(rt: Runtime, rounds: number): Promise<string[]> {
  const random = (batch: number, tokens: number): Tensor => {
    const data = Float32Array.from({ length: batch * tokens * HEADS * DIM }, () => Math.random() - 0.5);
    return rt.tensor(data, [batch, tokens, HEADS, DIM]);
  };
  return rt.scope(async () => {
    const [q, prefix, own, whole] = [
      random(BATCH, 1),
      random(1, PREFIX),
      random(BATCH, OWN),
      random(BATCH, PREFIX + OWN),
    ];
    const causal = { causal: true };
    const [cascade, copies] = await shortest(rounds, [
      () => cascadeAttentionSync({ q, prefixK: prefix, prefixV: prefix, k: own, v: own }, causal),
      () => attentionSync({ q, k: whole, v: whole }, causal),
    ]);
    const x = random(1, TOKENS);
    const layouts = ['contiguous', 'zigzag', 'striped'] as const;
    const [dense, ...rings] = await shortest(Math.ceil(rounds / 4), [
      () => attentionSync({ q: x, k: x, v: x }, causal),
      ...layouts.map((layout) => () => ringAttentionSync({ q: x, k: x, v: x }, { ...causal, shards: SHARDS, layout })),
    ]);
    const heads = `${HEADS} heads of ${DIM}`;
    return [
      `${heads}, one query of each of ${BATCH} sequences, ${PREFIX} keys shared and ${OWN} of their own: ` +
        `cascadeAttention ${cascade!.toFixed(2)} ms, attention to copies of all keys ${copies!.toFixed(2)} ms`,
      `${heads}, ${TOKENS} causal tokens in ${SHARDS} shards: ` +
        `${layouts.map((layout, i) => `${layout} ${rings[i]!.toFixed(1)} ms`).join(', ')}, attention ${dense!.toFixed(1)} ms`,
    ];
  });
}
