/**
 * The service worker: keeps all files of the page, so that it works without a network, and adds the headers that a page needs for threads,
 * so that it has them on hosts that cannot set any.
 *
 * @module
 */
/// <reference lib="webworker" />

/** The page's files and a name for exactly these, set by the build. */
declare const FILES: readonly string[];
declare const VERSION: string;

const scope = globalThis as unknown as ServiceWorkerGlobalScope;
const PREFIX = `wattn-page ${scope.registration.scope} `;
const NAME = PREFIX + VERSION;
/** Where models are: they are kept once they were asked for. */
const MODELS = new URL('models/', scope.registration.scope).href;

scope.addEventListener('install', (event) => {
  // past the HTTP cache, which may hold files of another version
  const requests = FILES.map((file) => new Request(file, { cache: 'reload' }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(requests)));
});

scope.addEventListener('activate', (event) => {
  const forgetOthers = async () => {
    for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
    await scope.clients.claim();
  };
  event.waitUntil(forgetOthers());
});

scope.addEventListener('message', ({ data }) => {
  if (data === 'replace') void scope.skipWaiting();
});

/** The same answer with the headers of an isolated page. */
function isolated(response: Response): Response {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(NAME);
  const path = request.mode === 'navigate' ? 'index.html' : request;
  const kept = await cache.match(path, { ignoreSearch: true });
  if (kept) return isolated(kept);
  const response = await fetch(request);
  // where there is no room for it the model is there all the same
  if (response.ok && request.url.startsWith(MODELS)) await cache.put(request, response.clone()).catch(() => {});
  return isolated(response);
}

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || !request.url.startsWith(scope.registration.scope)) return;
  event.respondWith(answer(request));
});
