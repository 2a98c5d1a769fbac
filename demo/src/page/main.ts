/**
 * The page: sets its sections up.
 *
 * @module
 */
import { AttentionSection } from './attention-section.ts';
import { openDevice } from './device-section.ts';
import { byId } from './elements.ts';
import { GenerateSection } from './generate-section.ts';
import { openOffline } from './offline.ts';
import { RaceSection } from './race-section.ts';
import { openText } from './text-section.ts';
import { openTheme } from './theme.ts';
import { start } from './worker.ts';

/** Sets up what needs the worker's list of methods. */
async function openMethods(): Promise<void> {
  try {
    const [cards, attentions] = await Promise.all([start('catalog', {}).result, start('attentions', {}).result]);
    new GenerateSection(attentions);
    const attention = new AttentionSection(cards);
    const race = new RaceSection(cards);
    openText((tokens) => {
      attention.use(tokens);
      race.use(tokens);
    });
  } catch (error) {
    const notice = byId('notice', HTMLElement);
    notice.textContent = `This browser does not run wattn: ${(error as Error).message}`;
    notice.hidden = false;
  }
}

openTheme();
openDevice();
void openOffline();
void openMethods();
