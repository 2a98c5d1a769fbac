/**
 * The package's entries and what they export.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Folder of the repository. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Source file of each entry that has types, by the name it is imported by. */
export function entries(): Record<string, string> {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { types?: string }>;
  };
  const found: Record<string, string> = {};
  for (const [name, target] of Object.entries(exports)) {
    if (typeof target === 'string' || !target.types) continue;
    found[name.replace(/^\./, 'wattn')] = target.types.replace('./build/', 'src/').replace(/\.d\.ts$/, '.ts');
  }
  return found;
}

/** The entry that exports each name; the first of several. Members of namespaces are among them: `features.elu1`. */
export async function exported(): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for (const [entry, file] of Object.entries(entries())) {
    const module = (await import(pathToFileURL(join(ROOT, file)).href)) as Record<string, unknown>;
    for (const [name, value] of Object.entries(module)) {
      if (!names.has(name)) names.set(name, entry);
      if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
      for (const [member, what] of Object.entries(value)) {
        if (typeof what === 'function' && !names.has(`${name}.${member}`)) names.set(`${name}.${member}`, entry);
      }
    }
  }
  return names;
}
