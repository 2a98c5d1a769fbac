import { compare } from './src/cli/compare/run.ts';
const report = await compare({ zoo: '/tmp/zoodir', seed: 1, extent: { contexts: [256, 1024], windows: 2, distances: [32, 128, 512], questions: 2, context: 1024, methodWindows: 1, budgets: [128], methodQuestions: 1, rounds: 1 }, progress: (d, t, l) => { if (d % 20 === 0) console.log(d, t, l); } });
console.log(JSON.stringify(report.models.map((m) => [m.name, m.lengths.map((l) => [l.context, l.bits.toFixed(3), l.prefill.toFixed(0), l.decode.toFixed(0), l.bytes])])), report.seconds);
for (const m of report.methods) console.log(m.method, m.budget ?? '', m.fed, m.loss.toFixed(5), m.kl.toExponential(2), m.agreement.toFixed(3), m.prefill.toFixed(0), m.decode.toFixed(0), m.bytes);
