/**
 * Files that are dropped on a part of the page.
 *
 * @module
 */

/** Takes the first file that is dropped on an element, which has the class `over` while one is held above it. */
export function onDrop(element: HTMLElement, take: (file: File) => void): void {
  element.addEventListener('dragover', (event) => {
    event.preventDefault();
    element.classList.add('over');
  });
  element.addEventListener('dragleave', () => element.classList.remove('over'));
  element.addEventListener('drop', (event) => {
    element.classList.remove('over');
    const [given] = event.dataTransfer?.files ?? [];
    if (!given) return;
    event.preventDefault();
    take(given);
  });
}
