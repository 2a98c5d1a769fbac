/**
 * The report of the device.
 *
 * @module
 */
import { byId, copyFrom, fillList } from './elements.ts';
import { JobBar } from './job-bar.ts';
import { Cancelled, start } from './worker.ts';

/** Sets the section up. */
export function openDevice(): void {
  const bar = new JobBar(byId('device-job', HTMLElement), 'the measurement');
  const measure = byId('measure', HTMLButtonElement);
  const copy = byId('copy-device', HTMLButtonElement);
  const report = byId('report', HTMLElement);
  let text = '';
  measure.addEventListener('click', async () => {
    const job = start('device', {}, { progress: (progress) => bar.update(progress) });
    measure.disabled = true;
    bar.begin(() => job.cancel());
    try {
      const found = Object.entries(await job.result).map(([name, value]) => [name, `${value}`] as const);
      fillList(report, found);
      text = found.map((entry) => entry.join(': ')).join('\n');
      copy.disabled = false;
      bar.end('Measured.');
    } catch (error) {
      bar.end(error instanceof Cancelled ? 'Cancelled.' : `That did not work: ${(error as Error).message}`);
    }
    measure.disabled = false;
  });
  copy.addEventListener('click', () => copyFrom(copy, text));
}
