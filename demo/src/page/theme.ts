/**
 * Light and dark: as the system has it, or as the reader says.
 *
 * @module
 */
import { byId } from './elements.ts';

const KEY = 'wattn-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners: (() => void)[] = [];

/** What the reader said; storage may be forbidden. */
function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? 'auto';
  } catch {
    return 'auto';
  }
}

function store(value: string): void {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // the choice then lasts as long as the page
  }
}

/** Whether the page is dark now. */
export function isDark(): boolean {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === 'dark' : system.matches;
}

/** Calls back whenever light turns to dark or back. */
export function onTheme(listener: () => void): void {
  listeners.push(listener);
}

function apply(value: string): void {
  if (value === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  const paper = getComputedStyle(document.documentElement).getPropertyValue('--paper').trim();
  document.querySelector('meta[name=theme-color]')?.setAttribute('content', paper);
  for (const listener of listeners) listener();
}

/** Sets the switch up. */
export function openTheme(): void {
  const select = byId('theme', HTMLSelectElement);
  select.value = stored();
  apply(select.value);
  select.addEventListener('change', () => {
    store(select.value);
    apply(select.value);
  });
  system.addEventListener('change', () => apply(select.value));
}
