/**
 * The package as `npm pack` makes it.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Packs the package in `root` into `folder`; returns the tarball's path. */
export function pack(root: string, folder: string): string {
  // under `npm test` the path begins with packages' commands, an old npm among them
  const PATH = process.env.PATH!.split(':').filter((entry) => !entry.includes('node_modules'));
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: PATH.join(':') },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // a list of packages in one version of npm, by name in another
  const [{ filename }] = Object.values(JSON.parse(packed)) as [{ filename: string }];
  return join(folder, filename);
}
