/**
 * Debian's Chromium, driven by playwright-core from tests/runtimes.
 *
 * @module
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ROOT } from '../portable/package.ts';
import { RUNTIMES } from '../portable/processes.ts';
import type { Browser, BrowserKind, Page } from './browser.ts';

/** What is used of playwright's page; its own types are not there before the runtimes are installed. */
export interface ChromiumPage {
  goto(url: string): Promise<unknown>;
  evaluate(expression: string): Promise<unknown>;
  workers(): readonly unknown[];
  on(event: 'console', listener: (message: { type(): string; text(): string }) => void): void;
  on(event: 'request', listener: (request: { url(): string }) => void): void;
  on(event: 'worker', listener: () => void): void;
  on(event: 'pageerror', listener: (error: Error) => void): void;
  close(): Promise<void>;
}

/** What is used of playwright's browser. */
export interface ChromiumBrowser {
  newPage(options?: {
    readonly colorScheme?: 'light' | 'dark';
    readonly viewport?: { readonly width: number; readonly height: number };
  }): Promise<ChromiumPage>;
  close(): Promise<void>;
  version(): string;
}

interface Driver {
  launch(options: { executablePath: string; headless: boolean; args: string[] }): Promise<ChromiumBrowser>;
}

const EXECUTABLE = '/usr/bin/chromium';
const ARGS = ['no-sandbox', 'disable-quic', 'no-first-run', 'disable-background-networking'];
ARGS.push('disable-component-update', 'disable-sync');

/** What is missing to run Chromium; empty if nothing is. */
export function missingChromium(): string {
  if (!existsSync(EXECUTABLE)) return EXECUTABLE;
  return existsSync(join(RUNTIMES, 'playwright-core')) ? '' : 'playwright-core';
}

/** Starts a headless Chromium that asks the network for nothing, with more switches if given. */
export function launch(more: readonly string[] = []): Promise<ChromiumBrowser> {
  const require = createRequire(join(ROOT, 'tests/runtimes/package.json'));
  const { chromium } = require('playwright-core') as { chromium: Driver };
  return chromium.launch({
    executablePath: EXECUTABLE,
    headless: true,
    args: [...ARGS, ...more].map((arg) => `--${arg}`),
  });
}

function kind(more: readonly string[]): BrowserKind {
  return {
    name: 'Chromium',
    missing: missingChromium,
    async launch(): Promise<Browser> {
      const browser = await launch(more);
      return {
        version: browser.version(),
        newPage: async () => drive(await browser.newPage()),
        close: () => browser.close(),
      };
    },
  };
}

export const CHROMIUM: BrowserKind = kind([]);

/** With WebGPU on its own software adapter, which it uses for nothing unless told. */
export const CHROMIUM_GPU: BrowserKind = kind(['enable-unsafe-webgpu', 'use-webgpu-adapter=swiftshader']);

function drive(page: ChromiumPage): Page {
  const requests: string[] = [];
  let started = 0;
  page.on('request', (request) => requests.push(request.url()));
  page.on('worker', () => {
    started += 1;
  });
  return {
    requests,
    workers: {
      get started() {
        return started;
      },
      get running() {
        return page.workers().length;
      },
    },
    async open(url) {
      await page.goto(url);
    },
    evaluate: (expression) => page.evaluate(expression),
    close: () => page.close(),
  };
}
