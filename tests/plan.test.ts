import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { planFed } from '../src/cli/compare/yardstick.ts';
import { openZoo } from '../src/cli/compare/zoo.ts';
import { checkPlan } from '../src/cli/plan/check.ts';
import { choicesOf, leftOut } from '../src/cli/plan/configuration.ts';
import { type Figures, type Goal, goalOf, nearer } from '../src/cli/plan/goal.ts';
import { planPage } from '../src/cli/plan/page.ts';
import { planWindows } from '../src/cli/plan/planning.ts';
import type { PlanExtent, SavedPlan } from '../src/cli/plan/report.ts';
import { plan } from '../src/cli/plan/run.ts';
import { type Choice, neighbours, predicted, type Space, search } from '../src/cli/plan/search.ts';
import { summary } from '../src/cli/plan/summary.ts';
import { runPlan, runPlanCheck } from '../src/cli/plan.ts';
import { ModelError, OptionError } from '../src/index.ts';
import { property } from './property.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'wattn-plan-'));
after(() => rmSync(folder, { recursive: true }));
const zoo = join(folder, 'zoo');
mkdirSync(zoo);
symlinkSync(here('lm/models'), join(zoo, 'models'));
symlinkSync(here('../zoo/text'), join(zoo, 'text'));

const SMALL: PlanExtent = {
  context: 64,
  calibration: 1,
  verification: 1,
  budgets: [16, 32],
  fed: ['prompt', 'tokens'],
  candidates: 4,
  trials: 4,
  rounds: 1,
};
const options = { zoo, extent: SMALL, runtime: { threads: 1 } };
const pieces: [number, number][] = [];
const report = await plan({
  ...options,
  goal: goalOf({ loss: 0.5 }),
  progress: (done, total) => pieces.push([done, total]),
});

const figures = fc.record({
  loss: fc.double({ min: -0.01, max: 0.1, noNaN: true }),
  bytes: fc.double({ min: -100, max: 20, noNaN: true }),
  ms: fc.double({ min: -1, max: 0.5, noNaN: true }),
});
const nothing: Figures = { loss: 0, bytes: 0, ms: 0 };
const spaces = (layers: number): fc.Arbitrary<Space> =>
  fc.integer({ min: 1, max: 5 }).chain((choices) =>
    fc
      .array(fc.array(figures, { minLength: choices, maxLength: choices }), { minLength: layers, maxLength: layers })
      .map((changes) => ({
        base: { loss: 0, bytes: 1000, ms: 10 },
        changes: changes.map((own) => [nothing, ...own]),
      })),
  );
const goals: fc.Arbitrary<Goal> = fc.constantFrom(
  { minimise: 'bytes', limits: { loss: 0.05 } },
  { minimise: 'ms', limits: { loss: 0.02, bytes: 950 } },
  { minimise: 'loss', limits: { bytes: 900 } },
  { minimise: 'loss', limits: { bytes: 970, ms: 9.5 } },
);

/** The nearest of all choices. */
function best(space: Space, goal: Goal): Choice {
  const all = space.changes.reduce<Choice[]>(
    (made, own) => made.flatMap((choice) => own.map((_, c) => [...choice, c])),
    [[]],
  );
  return all.reduce((a, b) => (nearer(predicted(space, b), predicted(space, a), goal) ? b : a));
}

test('of two layers the search finds the best choice of all', async () => {
  await property(fc.tuple(spaces(2), goals), 200, async ([space, goal]) => {
    const found = predicted(space, search(space, goal));
    assert.ok(!nearer(predicted(space, best(space, goal)), found, goal));
  });
});

test('of many layers it finds what no exchange of two and no single method betters', async () => {
  await property(fc.tuple(spaces(6), goals), 50, async ([space, goal]) => {
    const choice = search(space, goal);
    const found = predicted(space, choice);
    const others = neighbours(space, goal, choice);
    assert.ok(!others.some((other) => nearer(predicted(space, other), found, goal)));
    for (const c of space.changes[0]!.keys()) {
      const same = space.changes.map(() => c);
      assert.ok(!nearer(predicted(space, same), found, goal));
    }
  });
});

test('limits mean a goal', () => {
  assert.deepEqual(goalOf({}), { minimise: 'bytes', limits: { loss: 0.01 } });
  assert.deepEqual(goalOf({ loss: 0.1 }), { minimise: 'bytes', limits: { loss: 0.1 } });
  assert.deepEqual(goalOf({ bytes: 9 }), { minimise: 'loss', limits: { bytes: 9 } });
  assert.deepEqual(goalOf({ bytes: 9, loss: 1 }, 'ms'), { minimise: 'ms', limits: { bytes: 9, loss: 1 } });
  assert.deepEqual(goalOf({ bytes: 9 }, 'ms'), { minimise: 'ms', limits: { bytes: 9, loss: 0.01 } });
  assert.throws(() => goalOf({ bytes: 0 }), OptionError);
  assert.throws(() => goalOf({ ms: Number.NaN }), OptionError);
  assert.throws(() => goalOf({ bytes: 9 }, 'bytes'), OptionError);
});

test('methods are tried with each budget that bears on them, and fed as they must be', () => {
  const names = choicesOf([16, 64], 64, ['prompt']).map(({ method, budget }) => `${method} ${budget}`);
  assert.equal(names[0], 'dense 64');
  assert.ok(names.includes('window 16') && !names.includes('window 64') && !names.some((name) => /quest/.test(name)));
  assert.ok(leftOut(['prompt']).includes('quest') && leftOut(['prompt', 'tokens']).length === 0);
  const layers = [0, 1, 2, 4].map((layer) => ({ layer, method: layer === 2 ? 'window' : 'int8', budget: 64 }));
  assert.equal(planFed({ model: 'm', layers }), 'prompt');
  assert.equal(planFed({ model: 'm', layers: [{ layer: 0, method: 'quest', budget: 64 }] }), 'tokens');
});

test('a plan has a method for each layer, its figures, and what it was measured against', () => {
  const { chosen, singles, sensitivities, layers, rival, beats, frontier } = report;
  assert.equal(report.model, 'attention');
  assert.deepEqual(
    chosen.plan.layers.map(({ layer }) => layer),
    layers,
  );
  assert.equal(singles.length, choicesOf(SMALL.budgets, SMALL.context, SMALL.fed).length);
  assert.ok(sensitivities.length > 1 && sensitivities.every(({ distances }) => distances.length === layers.length));
  for (const { bytes, ms, loss } of [...singles, ...frontier, chosen]) {
    assert.ok(bytes > 0 && ms > 0 && Number.isFinite(loss));
  }
  assert.ok(rival.loss <= Math.max(0, chosen.loss));
  assert.equal(beats, chosen.bytes < rival.bytes);
  assert.ok(chosen.bytes <= singles.find(({ name }) => name === 'dense')!.bytes);
  assert.ok(pieces.at(-1)![0] <= pieces.at(-1)![1]);
});

test('it is verified on text that it was not chosen by', () => {
  const windows = planWindows(openZoo(zoo).texts, { context: 100, calibration: 3, verification: 5 });
  const of = (all: readonly Uint8Array[]) => all.map((window) => Buffer.from(window).toString('latin1'));
  assert.deepEqual([windows.calibration.length, windows.verification.length], [3, 5]);
  assert.equal(new Set([...of(windows.calibration), ...of(windows.verification)]).size, 8);
});

test('a saved plan loses the same when it is loaded, and another one does not', async () => {
  const found = await checkPlan(JSON.stringify(report.saved), zoo, { threads: 1 });
  assert.ok(found.same && Math.abs(found.found - report.chosen.loss) < 1e-4);
  const layers = report.layers.map((layer) => ({ layer, method: 'kivi2', budget: 64 }));
  const other: SavedPlan = { ...report.saved, layers };
  assert.equal((await checkPlan(JSON.stringify(other), zoo, { threads: 1 })).same, false);
  await assert.rejects(checkPlan('{"model": "attention", "layers": []}', zoo), OptionError);
  await assert.rejects(checkPlan(JSON.stringify({ ...report.saved, layers: [{ layer: 9 }] }), zoo), ModelError);
});

test('the summary and the page say whether the plan is worth it', () => {
  const text = summary(report);
  const written = planPage(report, here('../zoo'));
  for (const words of [report.rival.name, report.beats ? 'It beats' : 'It does not beat']) {
    assert.ok(text.includes(words) && written.includes(words), words);
  }
  for (const { name } of report.singles) assert.ok(written.includes(name), name);
  assert.doesNotMatch(written, /(src|href)="(?!data:)/);
  assert.equal(written.split('<canvas').length - 1, 3);
  assert.ok(summary({ ...report, beats: false }).includes('does not beat'));
  assert.ok(summary({ ...report, withinLimits: false }).includes('is not within its limits'));
});

test('the command writes a plan that the command checks', async () => {
  const [out, path] = [join(folder, 'plan.json'), join(folder, 'plan.html')];
  const lines: string[] = [];
  const write = (line: string) => lines.push(line);
  const extent = { ...SMALL, budgets: [16], fed: ['prompt'] as const, candidates: 2, trials: 1 };
  await runPlan({ zoo, extent, limits: { bytes: 12000 }, threads: 1, out, report: path }, write);
  assert.match(lines[0]!, /least loss, memory at most 12 KiB/);
  assert.match(lines[0]!, /Not tried, .*quest/);
  assert.match(readFileSync(path, 'utf8'), /<canvas/);
  assert.equal(await runPlanCheck({ check: out, zoo, threads: 1 }, write), true);
  const saved = JSON.parse(readFileSync(out, 'utf8')) as SavedPlan;
  writeFileSync(out, JSON.stringify({ ...saved, measured: { ...saved.measured, loss: saved.measured.loss + 1 } }));
  assert.equal(await runPlanCheck({ check: out, zoo, threads: 1 }, write), false);
});

test('a model none of whose layers attends has no plan', async () => {
  await assert.rejects(plan({ ...options, model: 'gla', goal: goalOf({}) }), OptionError);
});
