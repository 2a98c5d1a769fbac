/**
 * Which model: one that lies beside the page, or a file of the reader's own.
 *
 * @module
 */
import { byteSize } from './byte-size.ts';
import { onDrop } from './dropped-file.ts';
import { byId, fillSelect } from './elements.ts';

/** Models beside the page, set by the build. */
declare const MODELS: readonly ListedModel[];

interface ListedModel {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
}

const OWN = 'own';

/** The fields that choose a model. */
export class ModelChoice {
  readonly #select = byId('model', HTMLSelectElement);
  readonly #note = byId('model-note', HTMLElement);
  /** Those that were fetched since the page was opened. */
  readonly #fetched = new Map<string, Blob>();
  #own: File | undefined;

  constructor() {
    fillSelect(this.#select, [
      ...MODELS.map(({ name, path, bytes }) => ({ value: path, label: `${name}, ${byteSize(bytes)}` })),
      { value: OWN, label: 'a file of my own' },
    ]);
    const input = byId('model-file', HTMLInputElement);
    const take = (file: File | undefined) => {
      if (!file) return;
      this.#own = file;
      this.#select.value = OWN;
      this.#tell();
    };
    input.addEventListener('change', () => take(input.files?.[0]));
    onDrop(byId('model-drop', HTMLElement), take);
    this.#select.addEventListener('change', () => this.#tell());
    this.#tell();
  }

  get #listed(): ListedModel | undefined {
    return MODELS.find(({ path }) => path === this.#select.value);
  }

  /** Says where the model comes from. */
  #tell(): void {
    const listed = this.#listed;
    if (listed) {
      const there = this.#fetched.has(listed.path);
      this.#note.textContent = there
        ? `${listed.name} was fetched and is here.`
        : `${listed.name} is fetched from beside this page when a text is asked for: ${byteSize(listed.bytes)}. ` +
          'Without a network only models are there that were fetched before.';
    } else if (this.#own) {
      this.#note.textContent = `${this.#own.name}, ${byteSize(this.#own.size)}, is read on this device and sent nowhere.`;
    } else {
      this.#note.textContent =
        `${MODELS.length === 0 ? 'No models lie beside this page. ' : ''}` +
        'Choose a .safetensors file in the format of wattn’s model zoo, or drop one here.';
    }
  }

  /** The model's file. @throws Error that says what is wanted, or why it cannot be fetched; AbortError. */
  async take(signal: AbortSignal, fetching: (label: string) => void): Promise<Blob> {
    const listed = this.#listed;
    if (!listed) {
      if (!this.#own) throw new Error('there is no model yet: choose a .safetensors file');
      return this.#own;
    }
    const { name, path, bytes } = listed;
    const kept = this.#fetched.get(path);
    if (kept) return kept;
    fetching(`fetching ${name}, ${byteSize(bytes)}`);
    const model = await fetchModel(listed, signal);
    this.#fetched.set(path, model);
    this.#tell();
    return model;
  }
}

async function fetchModel({ name, path }: ListedModel, signal: AbortSignal): Promise<Blob> {
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Error(`${name} could not be fetched, as it was not before, and there is no network; a file needs none`);
  }
  if (!response.ok) throw new Error(`${name} could not be fetched: the host answers ${response.status} for ${path}`);
  return response.blob();
}
