/**
 * A TypeDoc plugin: puts each export into the category of the method it belongs to.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Comment, CommentTag, Converter } from 'typedoc';

const root = fileURLToPath(new URL('..', import.meta.url));

/** @param {import('typedoc').Application} app */
export function load(app) {
  const { symbols, files } = JSON.parse(
    readFileSync(new URL('../build/docs/categories.json', import.meta.url), 'utf8'),
  );
  const prefixes = Object.keys(files);
  app.converter.on(
    Converter.EVENT_RESOLVE_BEGIN,
    (context) => {
      for (const module of context.project.children ?? []) {
        for (const child of module.children ?? []) {
          const file = context.project.getSymbolIdFromReflection(child)?.fileName ?? '';
          const path = relative(root, file).replaceAll('\\', '/');
          const category =
            symbols[child.name.replace(/(Sync|Step)$/, '')] ??
            files[prefixes.find((prefix) => path.startsWith(prefix))];
          child.comment ??= new Comment();
          child.comment.blockTags.push(
            new CommentTag('@category', [{ kind: 'text', text: category ?? 'Shared types' }]),
          );
        }
      }
    },
    // before TypeDoc's own categories
    1000,
  );
}
