/**
 * A TypeDoc plugin: puts each export into the category of the method it belongs to, and lets formulas in comments be what
 * they are: S*_t = S_{t-1} is no emphasis.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Comment, CommentTag, Converter } from 'typedoc';

const root = fileURLToPath(new URL('..', import.meta.url));

/** @param {import('typedoc').CommentDisplayPart[]} parts */
function literal(parts) {
  for (const part of parts) {
    if (part.kind === 'text') part.text = part.text.replace(/[*_<]/g, (mark) => (mark === '<' ? '&lt;' : `\\${mark}`));
  }
}

/** @param {import('typedoc').Application} app */
export function load(app) {
  const { symbols, files } = JSON.parse(
    readFileSync(new URL('../build/docs/categories.json', import.meta.url), 'utf8'),
  );
  const prefixes = Object.keys(files);
  app.converter.on(
    Converter.EVENT_RESOLVE_BEGIN,
    (context) => {
      for (const { comment } of Object.values(context.project.reflections)) {
        if (!comment) continue;
        literal(comment.summary);
        for (const { tag, content } of comment.blockTags) if (tag !== '@example') literal(content);
      }
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
