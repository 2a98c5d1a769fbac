/**
 * WebKitGTK's small browser on a screen of its own, driven through WebDriver.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import type { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { Browser, BrowserKind, Page } from './browser.ts';

const DRIVER = '/usr/bin/WebKitWebDriver';
const SCREEN = '/usr/bin/Xvfb';
const BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';

/** A port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** One command of the protocol; throws what the driver answers as an error. */
async function command<T>(method: 'GET' | 'POST' | 'DELETE', url: string, body?: unknown): Promise<T> {
  const response = await fetch(url, { method, body: body === undefined ? null : JSON.stringify(body) });
  const { value } = (await response.json()) as { value: T & { error?: string; message?: string } };
  if (!response.ok) throw new Error(`${url}: ${value.error}: ${value.message}`);
  return value;
}

/** Ends a process with those that it started. */
async function end(leader: ChildProcess): Promise<void> {
  if (leader.exitCode !== null || leader.signalCode !== null || leader.pid === undefined) return;
  const ended = new Promise((resolve) => leader.once('exit', resolve));
  process.kill(-leader.pid, 'SIGTERM');
  await Promise.race([ended, setTimeout(5000)]);
}

/** A screen that nobody sees, and its name. */
async function startScreen(): Promise<{ screen: ChildProcess; display: string }> {
  const screen = spawn(SCREEN, ['-displayfd', '3', '-screen', '0', '1024x768x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const display = await new Promise<string>((resolve, reject) => {
    screen.on('error', reject);
    screen.on('exit', (code) => reject(new Error(`${SCREEN} ended with code ${code}`)));
    (screen.stdio[3] as Readable).once('data', (data: Buffer) => resolve(`:${data.toString().trim()}`));
  });
  screen.removeAllListeners('exit');
  return { screen, display };
}

/** WebKitGTK; features of its engine that are off by default are turned on by `environment`. */
export function webkit(environment: Readonly<Record<string, string>> = {}): BrowserKind {
  return {
    name: 'WebKitGTK',
    missing: () => [DRIVER, SCREEN, BROWSER].find((path) => !existsSync(path)) ?? '',
    async launch(): Promise<Browser> {
      const port = await freePort();
      const { screen, display } = await startScreen();
      const driver = spawn(DRIVER, [`--port=${port}`], {
        env: { ...process.env, ...environment, DISPLAY: display },
        stdio: 'ignore',
        detached: true,
      });
      const origin = `http://127.0.0.1:${port}`;
      try {
        for (let tries = 0; ; ++tries) {
          try {
            await command('GET', `${origin}/status`);
            break;
          } catch (error) {
            if (tries === 100) throw error;
            await setTimeout(100);
          }
        }
        const options = { binary: BROWSER, args: ['--automation'] };
        const { sessionId, capabilities } = await command<{
          sessionId: string;
          capabilities: { browserVersion: string };
        }>('POST', `${origin}/session`, {
          capabilities: {
            alwaysMatch: { 'webkitgtk:browserOptions': options, timeouts: { script: 180_000, pageLoad: 60_000 } },
          },
        });
        const session = `${origin}/session/${sessionId}`;
        const first = await command<string>('GET', `${session}/window`);
        return {
          version: capabilities.browserVersion,
          newPage: () => newPage(session, first),
          async close() {
            await command('DELETE', session).catch(() => {});
            await end(driver);
            await end(screen);
          },
        };
      } catch (error) {
        await end(driver);
        await end(screen);
        throw error;
      }
    },
  };
}

/** A window of the session, opened from the first one; what it asks for and its workers are not to be seen from here. */
async function newPage(session: string, first: string): Promise<Page> {
  await command('POST', `${session}/window`, { handle: first });
  const { handle } = await command<{ handle: string }>('POST', `${session}/window/new`, { type: 'window' });
  const here = () => command('POST', `${session}/window`, { handle });
  return {
    async open(url) {
      await here();
      await command('POST', `${session}/url`, { url });
    },
    async evaluate(expression) {
      await here();
      const script = `
        const done = arguments[0];
        Promise.resolve(${expression}).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
      const { value, error } = await command<{ value?: unknown; error?: string }>('POST', `${session}/execute/async`, {
        script,
        args: [],
      });
      if (error !== undefined) throw new Error(error);
      return value;
    },
    async close() {
      await here();
      await command('DELETE', `${session}/window`);
    },
  };
}
