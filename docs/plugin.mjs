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

/**
 * `@throws ShapeError, OptionError for ...`: the errors as code, to be linked.
 *
 * @param {import('typedoc').CommentDisplayPart[]} parts
 */
function withErrors(parts) {
  return parts.flatMap((part) =>
    part.kind === 'text'
      ? part.text
          .split(/\b(\w+Error)\b/)
          .map((text, i) => (i % 2 === 1 ? { kind: 'code', text: `\`${text}\`` } : { kind: 'text', text }))
      : [part],
  );
}

/**
 * Links the names of exports, but for that of what is documented.
 *
 * @param {import('typedoc').CommentDisplayPart[]} parts
 * @param {Map<string, import('typedoc').Reflection>} named
 * @param {import('typedoc').Reflection} own
 */
function link(parts, named, own) {
  for (const [i, { kind, text }] of parts.entries()) {
    const name = text.replaceAll('`', '');
    const target = kind === 'code' ? named.get(name) : undefined;
    if (target && name !== own.name) parts[i] = { kind: 'inline-tag', tag: '@linkcode', text: name, target };
  }
}

/** @param {import('typedoc').Application} app */
export function load(app) {
  const { symbols, files } = JSON.parse(readFileSync(new URL('.pages/categories.json', import.meta.url), 'utf8'));
  const prefixes = Object.keys(files);
  app.converter.on(
    Converter.EVENT_RESOLVE_BEGIN,
    (context) => {
      const named = new Map();
      for (const module of context.project.children ?? []) {
        for (const child of module.children ?? []) if (!named.has(child.name)) named.set(child.name, child);
      }
      for (const reflection of Object.values(context.project.reflections)) {
        const { comment } = reflection;
        if (!comment) continue;
        for (const tag of comment.blockTags) if (tag.tag === '@throws') tag.content = withErrors(tag.content);
        const prose = [
          comment.summary,
          ...comment.blockTags.flatMap(({ tag, content }) => (tag === '@example' ? [] : [content])),
        ];
        for (const parts of prose) {
          literal(parts);
          link(parts, named, reflection);
        }
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
