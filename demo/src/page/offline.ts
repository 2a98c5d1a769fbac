/**
 * The page's side of its service worker: starts it, reloads once where that brings threads, offers new versions.
 *
 * @module
 */
import { byId, make } from './elements.ts';

const KEY = 'wattn-reloaded';

/** Whether this is the first time in this tab that the page wants a reload; storage may be forbidden, then it never is. */
function firstTime(): boolean {
  try {
    if (sessionStorage.getItem(KEY)) return false;
    sessionStorage.setItem(KEY, 'yes');
    return true;
  } catch {
    return false;
  }
}

/** Shows a sentence with a button at the top of the page. */
function offer(text: string, action: string, act: () => void): void {
  const notice = byId('notice', HTMLElement);
  const button = make('button', { type: 'button' }, action);
  button.addEventListener('click', act);
  notice.replaceChildren(text, ' ', button);
  notice.hidden = false;
}

/** Says how threads come to be here, or why they do not. */
function explainIsolation(obstacle: string): void {
  const controlled = navigator.serviceWorker?.controller;
  let text = 'This page is cross-origin isolated, so wattn may use threads.';
  if (crossOriginIsolated && controlled) {
    text +=
      ' The headers for that (Cross-Origin-Opener-Policy, Cross-Origin-Embedder-Policy) are added by the page’s own service worker, ' +
      'whatever the host sends.';
  } else if (crossOriginIsolated) text += ' The host sends the headers for that.';
  else {
    text =
      'This page is not cross-origin isolated, so wattn uses one thread. The host does not send the headers for that; the page’s service ' +
      `worker adds them once it runs. ${obstacle}`;
  }
  byId('isolation', HTMLElement).textContent = text;
}

/** Starts the service worker. */
export async function openOffline(): Promise<void> {
  if (!('serviceWorker' in navigator) || !isSecureContext) {
    explainIsolation('It cannot run here: the page is not served over https or from this machine.');
    return;
  }
  explainIsolation('');
  let touched = false;
  for (const name of ['pointerdown', 'keydown'] as const) {
    addEventListener(name, () => {
      touched = true;
    });
  }
  const updated = navigator.serviceWorker.controller !== null;
  try {
    const registration = await navigator.serviceWorker.register(new URL('offline.js', document.baseURI));
    const waiting = () => {
      const { waiting } = registration;
      if (!waiting || !updated) return;
      offer('There is a new version of this page.', 'Use it', () => {
        navigator.serviceWorker.addEventListener('controllerchange', () => location.reload());
        waiting.postMessage('replace');
      });
    };
    waiting();
    registration.addEventListener('updatefound', () => {
      registration.installing?.addEventListener('statechange', waiting);
    });
    await navigator.serviceWorker.ready;
  } catch (error) {
    explainIsolation(`It could not be started: ${(error as Error).message}.`);
    return;
  }
  if (crossOriginIsolated) return;
  if (!touched && firstTime()) location.reload();
  else offer('With a reload this page can use threads.', 'Reload', () => location.reload());
}
