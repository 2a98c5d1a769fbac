/**
 * Samples of the docs as programs of the working tree.
 *
 * @module
 */

/** Sources of the package's entries, seen from tests/. */
const SOURCES: Readonly<Record<string, string>> = {
  wattn: '../src/index.ts',
  'wattn/cache': '../src/cache/index.ts',
  'wattn/cli': '../src/cli/index.ts',
  'wattn/explain': '../src/explain.ts',
  'wattn/external': '../src/external.ts',
  'wattn/onnx': '../src/onnx/index.ts',
};

/** A sample with its imports of the package taken from src/. */
export function inSource(code: string): string {
  return code.replaceAll(/from '(wattn(?:\/\w+)?)'/g, (whole, name: string) =>
    SOURCES[name] === undefined ? whole : `from '${SOURCES[name]}'`,
  );
}
