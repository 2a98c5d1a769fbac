/**
 * Elements of the page.
 *
 * @module
 */

/** The element of this id. @throws Error if it is not there or of another kind. */
export function byId<E extends HTMLElement>(id: string, kind: new () => E): E {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} '${id}'`);
  return element;
}

/** A new element with attributes and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Fills a select with groups of options. */
export function fillSelect(
  select: HTMLSelectElement,
  options: readonly { readonly value: string; readonly label: string; readonly group?: string }[],
): void {
  const groups = new Map<string, HTMLOptGroupElement>();
  select.replaceChildren();
  for (const { value, label, group } of options) {
    let parent: HTMLElement = select;
    if (group !== undefined) {
      const found = groups.get(group) ?? make('optgroup', { label: group });
      if (!groups.has(group)) select.append(found);
      groups.set(group, found);
      parent = found;
    }
    parent.append(make('option', { value }, label));
  }
}

/** Fills a list of names and what they are. */
export function fillList(list: HTMLElement, entries: readonly (readonly [name: string, value: string])[]): void {
  list.replaceChildren(...entries.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
}

/** Copies text, and says so on the button for a while. */
export async function copyFrom(button: HTMLButtonElement, text: string): Promise<void> {
  const name = button.textContent;
  let said = 'Copied';
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    said = 'This browser does not let the page copy';
  }
  button.textContent = said;
  setTimeout(() => {
    button.textContent = name;
  }, 2000);
}
