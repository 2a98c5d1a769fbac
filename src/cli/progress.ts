/**
 * A progress bar on the terminal, where there is one.
 *
 * @module
 */
import process from 'node:process';
import { Presets, SingleBar } from 'cli-progress';

/** Told of what is done, and how much there is. */
export type Progress = (done: number, total: number, label: string) => void;

/** Runs something that tells how far it is. */
export async function withProgress<R>(work: (progress: Progress) => Promise<R>): Promise<R> {
  if (process.stderr.isTTY !== true) return work(() => {});
  const bar = new SingleBar(
    { format: '{bar} {percentage} % {label}', stream: process.stderr, hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  );
  bar.start(1, 0, { label: '' });
  try {
    return await work((done, total, label) => {
      bar.setTotal(total);
      bar.update(done, { label });
    });
  } finally {
    bar.stop();
  }
}
