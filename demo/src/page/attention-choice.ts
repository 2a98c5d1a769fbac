/**
 * What attends in the layers of a model: its own attention, one method in all of them, or what a plan says.
 *
 * @module
 */
import type { AttentionCard, AttentionChoice } from '../messages.ts';
import { byId, fillSelect } from './elements.ts';

const OWN = 'own';
const PLAN = 'plan';

/** The fields that choose what attends. */
export class AttentionFields {
  readonly #cards: readonly AttentionCard[];
  readonly #select = byId('attend', HTMLSelectElement);
  readonly #budget = byId('attend-budget', HTMLInputElement);
  readonly #plan = byId('plan', HTMLTextAreaElement);

  constructor(cards: readonly AttentionCard[]) {
    this.#cards = cards;
    fillSelect(this.#select, [
      { value: OWN, label: 'the model’s own' },
      { value: PLAN, label: 'a plan' },
      ...cards.map(({ name, family }) => ({ value: name, label: name, group: family })),
    ]);
    this.#select.addEventListener('change', () => this.#show());
    const file = byId('plan-file', HTMLInputElement);
    file.addEventListener('change', () => this.#read(file.files?.[0]));
    this.#show();
  }

  /** Takes the plan of a file. */
  async #read(file: File | undefined): Promise<void> {
    if (!file) return;
    let said = `The plan is that of ${file.name}.`;
    try {
      this.#plan.value = await file.text();
    } catch (error) {
      said = `${file.name} could not be read: ${(error as Error).message}`;
    }
    byId('attend-note', HTMLElement).textContent = said;
  }

  get #card(): AttentionCard | undefined {
    return this.#cards.find(({ name }) => name === this.#select.value);
  }

  #show(): void {
    const card = this.#card;
    byId('attend-budget-field', HTMLElement).hidden = !card?.budgeted;
    byId('plan-fields', HTMLElement).hidden = this.#select.value !== PLAN;
    byId('attend-note', HTMLElement).textContent = card?.note ?? '';
  }

  /** What is chosen now. @throws Error if that is a plan and there is none. */
  get chosen(): AttentionChoice {
    const card = this.#card;
    // plans name a budget for every method
    if (card) return { method: { name: card.name, budget: card.budgeted ? this.#budget.valueAsNumber : 16 } };
    if (this.#select.value !== PLAN) return {};
    if (this.#plan.value.trim() === '') throw new Error('there is no plan yet: choose a file or write one');
    return { plan: this.#plan.value };
  }
}
