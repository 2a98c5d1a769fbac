/**
 * Debian's Chromium, driven by playwright-core from tests/runtimes.
 *
 * @module
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ROOT, RUNTIMES } from '../portable/harness.ts';

/** What the tests use of playwright's page; its own types are not there before the runtimes are installed. */
export interface Page {
  goto(url: string): Promise<unknown>;
  /** Value of an expression in the page, awaited. */
  evaluate(expression: string): Promise<unknown>;
  /** Dedicated workers that run now. */
  workers(): readonly unknown[];
  on(event: 'request', listener: (request: { url(): string }) => void): void;
  on(event: 'worker', listener: () => void): void;
  on(event: 'pageerror', listener: (error: Error) => void): void;
  on(event: 'console', listener: (message: { text(): string }) => void): void;
  close(): Promise<void>;
}

/** What the tests use of playwright's browser. */
export interface Browser {
  newPage(options?: {
    readonly colorScheme?: 'light' | 'dark';
    readonly viewport?: { readonly width: number; readonly height: number };
  }): Promise<Page>;
  close(): Promise<void>;
  version(): string;
}

const EXECUTABLE = '/usr/bin/chromium';

/** What is missing to run Chromium; empty if nothing is. */
export function missingChromium(): string {
  if (!existsSync(EXECUTABLE)) return EXECUTABLE;
  return existsSync(join(RUNTIMES, 'playwright-core')) ? '' : 'playwright-core';
}

/** Starts a headless Chromium that asks the network for nothing. */
export async function launch(): Promise<Browser> {
  const require = createRequire(join(ROOT, 'tests/runtimes/package.json'));
  const { chromium } = require('playwright-core') as {
    chromium: { launch(options: { executablePath: string; headless: boolean; args: string[] }): Promise<Browser> };
  };
  const args = ['no-sandbox', 'disable-quic', 'no-first-run', 'disable-background-networking'];
  args.push('disable-component-update', 'disable-sync');
  return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: args.map((arg) => `--${arg}`) });
}
