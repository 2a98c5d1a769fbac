/**
 * The packed package, installed beside copies of the fixtures as npm would do it.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { packed, ROOT } from '../portable/package.ts';

/** Folder of the bundler tests, whose node_modules the fixtures find above them. */
export const BUNDLERS = join(ROOT, 'tests/bundlers');

/** A folder of its own for fixtures, removed with `remove`. */
export interface Workspace {
  readonly folder: string;
  /** The package as it was packed, and as it is installed. */
  readonly tarball: string;
  readonly installed: string;
  remove(): void;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
}

const manifest = (folder: string) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

/** Copies the package's dependencies, and theirs, from the versions that the repository has locked. */
function installDependencies(of: string, into: string): void {
  for (const name of Object.keys(manifest(of).dependencies ?? {})) {
    const to = join(into, name);
    if (existsSync(to)) continue;
    cpSync(join(ROOT, 'node_modules', name), to, { recursive: true, dereference: true });
    installDependencies(to, into);
  }
}

/** Installs the package's tarball into a new workspace in `parent`/work. */
export function workspace(parent = BUNDLERS): Workspace {
  mkdirSync(join(parent, 'work'), { recursive: true });
  const folder = mkdtempSync(join(parent, 'work/'));
  const tarball = packed().file;
  const modules = join(folder, 'node_modules');
  const installed = join(modules, 'wattn');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  installDependencies(installed, modules);
  return { folder, tarball, installed, remove: () => rmSync(folder, { recursive: true }) };
}

/** Copies a fixture, with the report that all of them show, into the workspace. */
export function copyFixture({ folder }: Workspace, name: string): string {
  const app = join(folder, name);
  cpSync(join(BUNDLERS, name), app, { recursive: true });
  cpSync(join(BUNDLERS, 'app/report.js'), join(app, 'report.js'));
  return app;
}

/** Skips a test aloud where a tool is missing; on CI that is a failure. */
export function missingTool(t: TestContext, tool: string): boolean {
  if (existsSync(join(BUNDLERS, tool.startsWith('next') ? 'next' : '', 'node_modules', tool))) return false;
  const message = `${tool} is missing: tests/bundlers/install.sh installs it`;
  assert.ok(!process.env.CI, message);
  t.skip(message);
  return true;
}
