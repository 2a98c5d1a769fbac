import { createRuntime } from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';
import { selectTopK, selectTopP, selectAbove } from '../src/engines/select/choose.ts';
import { softmaxMap } from '../src/engines/select/softmax-map.ts';
const rt = await createRuntime({ variant: process.env.VARIANT ?? 'relaxed', threads: 1 });
const now = () => { const u = process.cpuUsage(); return (u.user + u.system) / 1000; };
let seed = 1;
const rnd = () => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return seed / 2 ** 32; };
const normal = (n, s = 1) => Float32Array.from({ length: n }, () => s * Math.sqrt(-2 * Math.log(1 - rnd())) * Math.cos(6.283185307 * rnd()));
function time(name, map, build, rounds = 15) {
  let best = 1e9;
  for (let r = 0; r < rounds; ++r) runSync('x', { map }, (b) => {
    build(b);
    for (const d of b.dispatches.splice(0)) { const t = now(); rt.runSync(d); best = Math.min(best, now() - t); }
    return {};
  });
  const rows = map.shape[2];
  console.log(name, `${best.toFixed(2)} ms, ${(1000 * best / rows).toFixed(2)} us a row, ${(1e6 * best / map.size).toFixed(2)} ns an element`);
}
const [R, C] = [8192, 128];
const visible = { mul: 1, add: 64, div: 64 };
for (const s of [0.1, 0.3, 1]) {
const map = rt.tensor(normal(R * C, s), [1, 1, R, C]);
time('topk vis', map, (b) => selectTopK(b, map, { k: 16, visible }));
runSync('x', { map }, (b) => { softmaxMap(b, map, { visible }); return {}; });
time('topp all', map, (b) => selectTopP(b, map, { p: 0.5 }));
time('topp vis', map, (b) => selectTopP(b, map, { p: 0.5, visible }));
time('topp vis last', map, (b) => selectTopP(b, map, { p: 0.5, visible, last: 1 }));
time('topk vis', map, (b) => selectTopK(b, map, { k: 16, visible }));
}
