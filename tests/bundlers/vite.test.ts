import assert from 'node:assert/strict';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ISOLATED } from '../browser/server.ts';
import { type AppPage, openPage, testApp } from './apps.ts';

interface SourceServer {
  readonly origin: string;
  readonly warnings: readonly string[];
  close(): Promise<void>;
}

const pages: readonly AppPage[] = [{ name: 'index' }, { name: 'external', wasm: 1 }];

testApp('vite', pages, {
  async further(t, app) {
    const { serveSources } = (await import(pathToFileURL(join(app.folder, 'build.js')).href)) as {
      serveSources(headers: Readonly<Record<string, string>>): Promise<SourceServer>;
    };
    await t.test('its development server', async (t) => {
      const server = await serveSources(ISOLATED);
      try {
        for (const page of pages) {
          await t.test(`${page.name}.html computes`, () =>
            openPage(app, page, { origin: server.origin, isolated: true }),
          );
        }
      } finally {
        await server.close();
      }
      assert.deepEqual(server.warnings, []);
    });
  },
});
