import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const command = createRequire(import.meta.url).resolve('next/dist/bin/next');

/** Builds the app into out/ by one of Next.js's two bundlers; returns what it warned of. */
export default async function make(bundler) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, 'build', `--${bundler}`], {
    cwd: import.meta.dirname,
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' },
    encoding: 'utf8',
  });
  if (status !== 0) return [stdout + stderr];
  return (stdout + stderr).split('\n').filter((line) => /⚠|warn/i.test(line));
}
