// The methods that are several calls of the engine, or one behind a map of features.
import { after, test } from 'node:test';
import { checkShapes } from './linear-cases.ts';
import { derived, methods } from './linear-methods.ts';
import { variants } from './runtimes.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

for (const method of methods.filter(({ name }) => derived.includes(name)))
  test(`${method.label}: random shapes, gates, sequences and states`, () => checkShapes(runtimes, method, 20));
