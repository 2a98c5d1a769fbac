import { createRuntime } from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import { selectTopK, selectTopP, selectAbove } from '../src/engines/select/choose.ts';
import { softmaxMap } from '../src/engines/select/softmax-map.ts';
const rt = await createRuntime({ variant: process.env.VARIANT ?? 'relaxed', threads: 1 });
const now = () => { const u = process.cpuUsage(); return (u.user + u.system) / 1000; };
let seed = 1;
const rnd = () => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return seed / 2 ** 32; };
const normal = (n, s = 1) => Float32Array.from({ length: n }, () => s * Math.sqrt(-2 * Math.log(1 - rnd())) * Math.cos(6.283185307 * rnd()));
function time(name, map, build, rounds = 7) {
  let best = 1e9;
  for (let r = 0; r < rounds; ++r) runSync('x', { map }, (b) => {
    build(b);
    for (const d of b.dispatches.splice(0)) { const t = now(); rt.runSync(d); best = Math.min(best, now() - t); }
    return {};
  });
  const rows = map.shape[2];
  console.log(name, `${best.toFixed(2)} ms, ${(1000 * best / rows).toFixed(2)} us a row, ${(1e6 * best / map.size).toFixed(2)} ns an element`);
}
for (const C of [64, 128, 1024, 8192]) {
  const R = Math.floor(2 ** 22 / C);
  for (const s of [0.3, 3]) {
    const map = rt.tensor(normal(R * C, s), [1, 1, R, C]);
    time(`C ${C} std ${s} topk C/8`, map, (b) => selectTopK(b, map, { k: C >> 3 }));
    time(`C ${C} std ${s} topk C/2`, map, (b) => selectTopK(b, map, { k: C >> 1 }));
    time(`C ${C} std ${s} above`, map, (b) => selectAbove(b, map, { threshold: 1 }));
    runSync('x', { map }, (b) => { softmaxMap(b, map); return {}; });
    time(`C ${C} std ${s} softmax topk C/8`, map, (b) => selectTopK(b, map, { k: C >> 3 }));
    time(`C ${C} std ${s} softmax topp 0.5`, map, (b) => selectTopP(b, map, { p: 0.5 }));
    time(`C ${C} std ${s} softmax topp 0.95`, map, (b) => selectTopP(b, map, { p: 0.95 }));
    map.dispose();
  }
}
