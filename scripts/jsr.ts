/**
 * Whether the TypeScript sources can be published on JSR: Deno checks their types, and that the public ones are explicit.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { ROOT } from '../tests/portable/package.ts';
import { RUNTIMES } from '../tests/portable/processes.ts';

const DENO = join(RUNTIMES, '@deno/linux-x64-glibc/deno');

/** Runs `deno publish --dry-run` on a copy of what is published; returns why it failed, or nothing. */
export function publishDryRun(): string {
  if (!existsSync(DENO)) return `${DENO} is missing`;
  const [jsr, npm] = ['jsr.json', 'package.json'].map(
    (name) => JSON.parse(readFileSync(join(ROOT, name), 'utf8')) as { version: string },
  );
  if (jsr!.version !== npm!.version) return `jsr.json has version ${jsr!.version}, package.json ${npm!.version}`;
  const folder = mkdtempSync(join(tmpdir(), 'wattn-jsr-'));
  try {
    for (const name of ['src', 'jsr.json', 'package.json', 'README.md', 'LICENSE'])
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const { status, stdout, stderr } = spawnSync(DENO, ['publish', '--dry-run', '--allow-dirty'], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: process.env.HOME, DENO_DIR: join(folder, 'deno'), NO_COLOR: '1' },
    });
    return status === 0 ? '' : `${stdout}${stderr}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
