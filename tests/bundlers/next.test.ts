import { join } from 'node:path';
import { type AppPage, testApp } from './apps.ts';
import { BUNDLERS } from './workspace.ts';

const pages: readonly AppPage[] = [{ name: 'index' }, { name: 'external', wasm: 1 }];

for (const form of ['turbopack', 'webpack']) {
  testApp('next', pages, { fixture: 'next/site', parent: join(BUNDLERS, 'next'), dist: 'out', form });
}
