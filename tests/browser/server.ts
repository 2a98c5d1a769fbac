/**
 * Serves an empty page, the installed package, the compiled suite and the golden cases; or a folder as it is.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { compiled, packed, ROOT } from '../portable/package.ts';

/** Headers of a page that may share memory with its workers. */
export const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** A running server. */
export interface Server extends AsyncDisposable {
  readonly origin: string;
  /** Paths that were asked for, in order. */
  readonly requests: string[];
  /** Those of them that are not there. */
  readonly refused: string[];
}

const TYPES: Record<string, string> = {
  css: 'text/css',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript',
  wasm: 'application/wasm',
};
const PAGE = '<!doctype html><html lang="en"><title>wattn</title><link rel="icon" href="data:,"></html>';

/** The text or bytes at a path; throws if there is nothing. */
function content(path: string, files: Readonly<Record<string, string>>): string | Uint8Array {
  if (Object.hasOwn(files, path)) return files[path]!;
  const [, folder, ...rest] = path.split('/');
  if (path.includes('..')) throw new Error('outside the served folders');
  if (path === '/index.html') return PAGE;
  if (path === '/tests/suite.js') return compiled('portable/suite.ts');
  if (path === '/tests/gpu-suite.js') return compiled('portable/gpu-suite.ts');
  if (path === '/tests/host.js') return compiled('browser/host.ts');
  if (folder === 'wattn') return readFileSync(join(packed().root, ...rest));
  if (folder === 'vectors') return readFileSync(join(ROOT, 'tests/vectors', ...rest));
  throw new Error('nothing here');
}

/** Starts a server on a free port of this machine; every answer carries `headers`. */
export function serve(
  headers: Readonly<Record<string, string>>,
  files: Readonly<Record<string, string>> = {},
): Promise<Server> {
  return listen(headers, (path) => content(path, files));
}

/** As `serve`, for the files of a folder alone. */
export function serveFolder(headers: Readonly<Record<string, string>>, folder: string): Promise<Server> {
  return listen(headers, (path) => readFileSync(join(folder, path)));
}

async function listen(
  headers: Readonly<Record<string, string>>,
  find: (path: string) => string | Uint8Array,
): Promise<Server> {
  const requests: string[] = [];
  const refused: string[] = [];
  const server = createServer((request, response) => {
    const path = new URL(request.url!, 'http://localhost').pathname;
    requests.push(path);
    try {
      const body = find(path);
      const type = TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
      response.writeHead(200, { 'Content-Type': type, ...headers }).end(body);
    } catch {
      // a browser may ask for an icon of its own accord
      if (path !== '/favicon.ico') refused.push(path);
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    refused,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
