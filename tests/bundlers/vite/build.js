import { build, createLogger, createServer } from 'vite';

const root = import.meta.dirname;

/** A logger that keeps warnings and errors instead of showing them. */
function collecting() {
  const warnings = [];
  const customLogger = createLogger('silent');
  for (const kind of ['warn', 'warnOnce', 'error']) customLogger[kind] = (message) => warnings.push(message);
  return { customLogger, warnings };
}

/** Builds the app into dist/; returns what Vite warned of. */
export default async function make() {
  const { customLogger, warnings } = collecting();
  await build({ root, customLogger, logLevel: 'silent' });
  return warnings;
}

/** Starts the server of `vite dev` on a free port; returns its origin, what it warns of and its end. */
export async function serveSources(headers) {
  const { customLogger, warnings } = collecting();
  const server = await createServer({ root, customLogger, server: { host: '127.0.0.1', port: 0, headers } });
  await server.listen();
  return {
    origin: `http://127.0.0.1:${server.httpServer.address().port}`,
    warnings,
    close: () => server.close(),
  };
}
