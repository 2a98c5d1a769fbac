import { createRuntime, attentionSync } from '../src/index.ts';
import { runSync, Builder } from '../src/runtime/program.ts';
import { poolBlocks } from '../src/engines/select/pool.ts';
import { scoreMap } from '../src/engines/select/score-map.ts';
import { softmaxMap } from '../src/engines/select/softmax-map.ts';
import { reduceMap } from '../src/engines/select/reduce-map.ts';
import { selectTopK, selectTopP, selectAbove } from '../src/engines/select/choose.ts';
import { selectIndices, countBits } from '../src/engines/select/bits.ts';
import { selectScored } from '../src/engines/select/scored.ts';
import { kMeans } from '../src/engines/select/k-means.ts';
import { sortByLabel } from '../src/engines/select/sort.ts';
import { gatherHeads, scatterHeads } from '../src/engines/select/gather.ts';
const variant = process.env.VARIANT ?? 'relaxed';
const rt = await createRuntime({ variant, threads: 1 });
console.log(process.version, variant, 'peak', rt.probe('fma', 60).toFixed(1));
const [T, H, D] = [Number(process.env.T ?? 8192), 4, 64];
let seed = 1;
const rnd = () => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return seed / 2 ** 32; };
const normal = (n) => Float32Array.from({ length: n }, () => Math.sqrt(-2 * Math.log(1 - rnd())) * Math.cos(6.283185307 * rnd()));
const q = rt.tensor(normal(T * H * D), [1, T, H, D]);
const k = rt.tensor(normal(T * H * D), [1, T, H, D]);
const only = process.argv[2];
const now = () => { const u = process.cpuUsage(); return (u.user + u.system) / 1000; };
function time(name, inputs, build, rounds = 5) {
  if (only && !name.match(only)) return;
  const best = new Map();
  for (let r = 0; r < rounds; ++r) {
    runSync('x', inputs, (b) => {
      build(b);
      const sums = new Map();
      const ds = b.dispatches.splice(0);
      for (const [i, d] of ds.entries()) {
        const t = now();
        rt.runSync(d);
        const ms = now() - t;
        const key = d.kernel; sums.set(key, (sums.get(key) ?? 0) + ms);
      }
      for (const [key, ms] of sums) best.set(key, Math.min(best.get(key) ?? 1e9, ms));
      return {};
    });
  }
  console.log(name, [...best].map(([a, v]) => `${a.replace(/^\d+/, '')} ${v.toFixed(2)}`).join(', '));
}
const causalBlocks = { mul: 1, add: 64, div: 64 };
const causal = { mul: 1, add: 1, div: 1 };
time('pool', { q }, (b) => poolBlocks(b, q, 64, 'mean'));
time('tokens x blocks, topk 16', { q, k }, (b) => {
  const kb = poolBlocks(b, k, 64, 'mean');
  const map = scoreMap(b, { q, k: kb, scale: 0.125, visible: causalBlocks });
  selectTopK(b, map, { k: 16, visible: causalBlocks, first: 1, last: 2 });
});
time('tokens x blocks softmax topp', { q, k }, (b) => {
  const kb = poolBlocks(b, k, 64, 'mean');
  const map = scoreMap(b, { q, k: kb, scale: 0.125, visible: causalBlocks });
  softmaxMap(b, map, { visible: causalBlocks });
  const g = reduceMap(b, map, { heads: 4 }, 'mean', { visible: causalBlocks });
  const bits = selectTopP(b, map, { p: 0.5, visible: causalBlocks, last: 1 });
  countBits(b, bits);
});
const qi = { };
for (const [Hi, Di] of [[4, 32], [4, 64]]) {
  const q1 = rt.tensor(normal(T * Hi * Di), [1, T, Hi, Di]);
  const k1 = rt.tensor(normal(T * Di), [1, T, 1, Di]);
  const w = rt.tensor(normal(T * Hi), [1, T, Hi]);
  time(`indexer ${Hi}x${Di} top 1024`, { q1, k1, w }, (b) => {
    const map = scoreMap(b, { q: q1, k: k1, scale: 1, weights: w, visible: causal });
    const bits = selectTopK(b, map, { k: 1024, visible: causal });
    selectIndices(b, bits, 1024);
  }, 3);
  time(`slabs ${Hi}x${Di} top 1024`, { q1, k1, w }, (b) => { const bits = selectScored(b, { q: q1, k: k1, scale: 1, weights: w, visible: causal }, (map, slab) => selectTopK(b, map, { k: 1024, ...slab })); selectIndices(b, bits, 1024); }, 3);
}
time('token map topp', { q, k }, (b) => {
  const map = scoreMap(b, { q: q.slice(2, 0, 1), k: k.slice(2, 0, 1), scale: 0.125, visible: causal });
  softmaxMap(b, map, { visible: causal });
  selectTopP(b, map, { p: 0.9, visible: causal });
  selectAbove(b, map, { threshold: 0.001, visible: causal });
}, 3);
time('kmeans 64 x 4', { q }, (b) => { const r = kMeans(b, q, { clusters: 64, iterations: 4 });
  const s = sortByLabel(b, r.labels, 64); const g = gatherHeads(b, q, s.order); scatterHeads(b, g, s.order, T, 'assign'); });
if (!only || 'dense'.match(only)) {
  let best = 1e9;
  for (let i = 0; i < 2; ++i) { const t = now(); const r = attentionSync({ q, k, v: k }, { causal: true }); best = Math.min(best, now() - t); r.o.dispose(); }
  console.log('dense causal', best.toFixed(0));
}
