/**
 * The worker of the page and the jobs that it has. A job is cancelled by ending the worker: nothing it computes can hold that up. What else
 * the worker had to do is given to the next one.
 *
 * @module
 */
import { type Answer, DURATION, type JobName, type Jobs, type Order, type Progress } from '../messages.ts';

/** Path of the worker's script, set by the build. */
declare const WORKER: string;

/** Thrown to whoever waits for a job that was cancelled. */
export class Cancelled extends Error {
  /** Whether the reader asked for it, or another job has taken its place. */
  readonly how: 'cancelled' | 'abandoned';

  constructor(how: 'cancelled' | 'abandoned') {
    super(how);
    this.how = how;
  }
}

/** What a job tells on the way. */
export interface Listener<J extends JobName> {
  progress?(progress: Progress): void;
  event?(event: Jobs[J]['event']): void;
}

/** A job that runs or waits. */
export interface Job<J extends JobName> {
  readonly result: Promise<Jobs[J]['result']>;
  /** Ends it at once. Beside a long job it ends at its next step instead, so that the long one goes on. */
  cancel(): void;
  /** Ends it at its next step: another has taken its place. */
  abandon(): void;
}

interface Open {
  readonly order: Order;
  readonly listener: { progress?(progress: Progress): void; event?(event: unknown): void };
  resolve(result: unknown): void;
  reject(error: Error): void;
}

let worker: Worker | undefined;
let last = 0;
const open = new Map<number, Open>();

function receive({ data }: MessageEvent<Answer>): void {
  const job = open.get(data.id);
  if (!job) return;
  if ('progress' in data) job.listener.progress?.(data.progress);
  else if ('event' in data) job.listener.event?.(data.event);
  else {
    open.delete(data.id);
    if ('failure' in data) job.reject(new Error(data.failure));
    else job.resolve(data.result);
  }
}

function running(): Worker {
  if (worker) return worker;
  worker = new Worker(new URL(WORKER, document.baseURI), { type: 'module', name: 'wattn' });
  worker.addEventListener('message', receive);
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    const failed = [...open.values()];
    open.clear();
    restart();
    for (const job of failed) job.reject(new Error(event.message || 'the worker could not be started'));
  });
  return worker;
}

/** Ends the worker with its threads, and gives what is still open to a new one. */
function restart(): void {
  worker?.terminate();
  worker = undefined;
  if (open.size > 0) for (const { order } of open.values()) running().postMessage(order);
}

/** Gives the worker a job. */
export function start<J extends JobName>(job: J, given: Jobs[J]['given'], listener: Listener<J> = {}): Job<J> {
  last += 1;
  const id = last;
  const order = { id, job, given };
  const result = new Promise<Jobs[J]['result']>((resolve, reject) => {
    open.set(id, {
      order,
      listener: listener as Open['listener'],
      resolve: resolve as (result: unknown) => void,
      reject,
    });
  });
  running().postMessage(order);
  const drop = (how: Cancelled['how']) => {
    const job = open.get(id);
    if (!job) return;
    open.delete(id);
    const beside = [...open.values()].some(({ order }) => DURATION[order.job] > 0);
    if (how === 'abandoned' || beside) worker?.postMessage({ drop: id });
    else restart();
    job.reject(new Cancelled(how));
  };
  return {
    result,
    cancel: () => drop('cancelled'),
    abandon: () => drop('abandoned'),
  };
}
