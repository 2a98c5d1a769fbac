/**
 * Choices of what is seen: scores, the choices by them, and rows in other orders.
 *
 * @module
 */
import { selectChoices } from './select-choices.ts';
import { selectMethods } from './select-methods.ts';
import { selectRows } from './select-rows.ts';
import { selectScores } from './select-scores.ts';

export const select = { ...selectScores, ...selectChoices, ...selectRows, ...selectMethods };
