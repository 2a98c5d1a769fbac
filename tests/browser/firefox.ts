/**
 * Debian's Firefox ESR, driven by puppeteer-core from tests/everywhere.
 *
 * @module
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ROOT } from '../portable/package.ts';
import { EVERYWHERE } from '../portable/processes.ts';
import { gpuEnvironment } from '../webgpu/dawn.ts';
import type { Browser, BrowserKind, Page } from './browser.ts';

/** What is used of puppeteer's page; its own types are not there before everything is installed. */
interface DriverPage {
  goto(url: string): Promise<unknown>;
  evaluate(expression: string): Promise<unknown>;
  on(event: 'request', listener: (request: { url(): string }) => void): void;
  close(): Promise<void>;
}

interface DriverBrowser {
  newPage(): Promise<DriverPage>;
  close(): Promise<void>;
  version(): Promise<string>;
}

interface Driver {
  launch(options: Readonly<Record<string, unknown>>): Promise<DriverBrowser>;
}

const EXECUTABLE = '/usr/bin/firefox-esr';

const kind = (more: Readonly<Record<string, unknown>>): BrowserKind => ({
  name: 'Firefox ESR',
  missing() {
    if (!existsSync(EXECUTABLE)) return EXECUTABLE;
    return existsSync(join(EVERYWHERE, 'puppeteer-core')) ? '' : 'puppeteer-core';
  },
  async launch(): Promise<Browser> {
    const require = createRequire(join(ROOT, 'tests/everywhere/package.json'));
    const driver = require('puppeteer-core') as Driver;
    const browser = await driver.launch({
      browser: 'firefox',
      executablePath: EXECUTABLE,
      headless: true,
      // the suite takes longer than a protocol call may by default where machines are slow
      protocolTimeout: 180_000,
      ...more,
    });
    return {
      version: (await browser.version()).replace(/^firefox\//i, ''),
      newPage: async () => drive(await browser.newPage()),
      close: () => browser.close(),
    };
  },
});

/** Headless. */
export const FIREFOX: BrowserKind = kind({});

/** With WebGPU, which it has on Linux behind preferences. */
export const FIREFOX_GPU: BrowserKind = kind({
  protocolTimeout: 900_000,
  extraPrefsFirefox: {
    'dom.webgpu.enabled': true,
    'dom.webgpu.workers.enabled': true,
    'gfx.webgpu.ignore-blocklist': true,
  },
  env: { ...process.env, ...gpuEnvironment() },
});

function drive(page: DriverPage): Page {
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  return {
    requests,
    async open(url) {
      await page.goto(url);
    },
    evaluate: (expression) => page.evaluate(expression),
    close: () => page.close(),
  };
}
