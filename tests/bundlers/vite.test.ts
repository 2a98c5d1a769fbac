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

const pages: readonly AppPage[] = [{ name: 'index' }, { name: 'external', wasm: 1 }, { name: 'url', wasm: 1 }];

testApp('vite', pages, {
  async further(t, app) {
    const { serveSources } = (await import(pathToFileURL(join(app.folder, 'build.js')).href)) as {
      serveSources(headers: Readonly<Record<string, string>>): Promise<SourceServer>;
    };
    await t.test('its development server', async (t) => {
      const server = await serveSources(ISOLATED);
      try {
        for (const page of pages) {
          await t.test(`${page.name}.html computes`, async () => {
            const requests = await openPage(app, page, { origin: server.origin, isolated: true });
            // dependencies are bundled before, all modules of the package into one
            assert.ok(
              requests.some((url) => url.includes('/.vite/deps/wattn')),
              requests.join('\n'),
            );
          });
        }
      } finally {
        await server.close();
      }
      assert.deepEqual(server.warnings, []);
    });
  },
});
