/**
 * The page's worker: every computation of the page runs here. To cancel a job the page ends the worker and starts another.
 *
 * @module
 */
import { createRuntime, type Runtime } from 'wattn';
import { type Answer, DURATION, type JobName, type Jobs, type Order, type Progress } from '../messages.ts';
import { deviceReport } from './device.ts';
import { attentionCards, generateText } from './generate.ts';
import { catalog, methodOf } from './methods.ts';
import { makeProblem, type Problem } from './problem.ts';
import { race } from './race.ts';
import { pictureOf } from './weights.ts';

const orders: Order[] = [];
/** Jobs that end at their next step: nobody waits for them. */
const dropped = new Set<number>();
let busy = false;

let started: Promise<Runtime> | undefined;
/** The runtime of pictures, reports and texts; races have their own. */
function runtime(): Promise<Runtime> {
  started ??= createRuntime();
  return started;
}

let latest: { readonly tokens: Uint32Array; readonly problem: Problem } | undefined;
/** The numbers of a text; those of the last one are kept. */
function problemOf(rt: Runtime, tokens: Uint32Array): Problem {
  const same = latest?.tokens.length === tokens.length && latest.tokens.every((token, n) => token === tokens[n]);
  if (!latest || !same) latest = { tokens, problem: makeProblem(rt, tokens) };
  return latest.problem;
}

const answer = (message: Answer, transfer: Transferable[] = []) => postMessage(message, { transfer });

/** Lets messages come in. */
function arrivals(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

/** Tells how far a job is, and lets shorter ones that have come in go first. */
async function turn({ id, job }: Order, progress: Progress): Promise<void> {
  answer({ id, progress });
  await arrivals();
  if (dropped.delete(id)) throw new Error('nobody waits for this');
  const shorter = () => orders.findIndex((order) => DURATION[order.job] < DURATION[job]);
  for (let at = shorter(); at >= 0; at = shorter()) await perform(orders.splice(at, 1)[0]!);
}

async function resultOf(order: Order): Promise<{ result: unknown; transfer?: Transferable[] }> {
  const { id, job, given } = order;
  const told = (progress: Progress) => turn(order, progress);
  const tell = (event: unknown) => answer({ id, event });
  switch (job) {
    case 'catalog':
      return { result: catalog() };
    case 'picture': {
      const { tokens, method, block } = given as Jobs['picture']['given'];
      const rt = await runtime();
      const result = await pictureOf(rt, problemOf(rt, tokens), methodOf(method), block, told);
      return {
        result,
        transfer: [result.weights.buffer, ...(result.visibility ? [result.visibility.pairs.buffer] : [])],
      };
    }
    case 'device':
      return { result: await deviceReport(await runtime(), told) };
    case 'race':
      return { result: await race(await runtime(), given as Jobs['race']['given'], tell, told) };
    case 'attentions':
      return { result: attentionCards() };
    case 'generate':
      return { result: await generateText(await runtime(), given as Jobs['generate']['given'], tell, told) };
  }
}

async function perform(order: Order<JobName>): Promise<void> {
  try {
    const { result, transfer } = await resultOf(order);
    answer({ id: order.id, result }, transfer);
  } catch (error) {
    answer({ id: order.id, failure: error instanceof Error ? error.message : String(error) });
  }
}

addEventListener('message', async ({ data }: MessageEvent<Order | { readonly drop: number }>) => {
  if ('drop' in data) {
    const at = orders.findIndex(({ id }) => id === data.drop);
    if (at >= 0) orders.splice(at, 1);
    else dropped.add(data.drop);
    return;
  }
  orders.push(data);
  if (busy) return;
  busy = true;
  while (orders.length > 0) await perform(orders.shift()!);
  busy = false;
});
