/**
 * Attention weights by asking the kernels themselves: with unit vectors as values, an output row is the row of weights. That holds for every
 * method whose output is linear in the values, those with a state among them.
 *
 * @module
 */
import type { Runtime } from 'wattn';
import { explain } from 'wattn/explain';
import type { PictureResult, Progress } from '../messages.ts';
import { callSync, callText, type Method } from './methods.ts';
import { HEADS, type Problem, tensorsOf } from './problem.ts';
import { choiceOf, visibilityOf } from './seen.ts';

/** Keys that one call asks about. */
const WIDTH = 128;

/** Values [T, H, width]: unit vectors for the tokens from `begin` on, zeros elsewhere. */
function unitValues(length: number, begin: number, width: number): Float32Array {
  const values = new Float32Array(length * HEADS.length * width);
  for (let n = 0; n < width; ++n) {
    for (let head = 0; head < HEADS.length; ++head) values[((begin + n) * HEADS.length + head) * width + n] = 1;
  }
  return values;
}

/** Weights of all heads, [heads, T, T]. `turn` is awaited between calls. */
async function weightsOf(
  rt: Runtime,
  problem: Problem,
  method: Method,
  block: number,
  turn: (progress: Progress) => Promise<void>,
): Promise<Float32Array> {
  const { length } = problem;
  const weights = new Float32Array(HEADS.length * length * length);
  for (let begin = 0; begin < length; begin += WIDTH) {
    const width = Math.min(WIDTH, length - begin);
    const o = rt.scope(() => {
      const values = { data: unitValues(length, begin, width), width };
      return callSync(method, tensorsOf(rt, problem, method.extra, values), block).o.dataSync() as Float32Array;
    });
    for (let head = 0; head < HEADS.length; ++head) {
      for (let i = 0; i < length; ++i) {
        const from = (i * HEADS.length + head) * width;
        weights.set(o.subarray(from, from + width), (head * length + i) * length + begin);
      }
    }
    await turn({ done: begin + width, total: length, label: `weights of ${begin + width} of ${length} keys` });
  }
  return weights;
}

/** All that is shown of a method on a text. */
export async function pictureOf(
  rt: Runtime,
  problem: Problem,
  method: Method,
  block: number,
  turn: (progress: Progress) => Promise<void>,
): Promise<PictureResult> {
  const started = performance.now();
  const weights = await weightsOf(rt, problem, method, block, turn);
  const { length } = problem;
  const { explanation, choice } = rt.scope(() => {
    const tensors = tensorsOf(rt, problem, method.extra);
    const options = method.options(block, length);
    return {
      explanation: explain(method.op, tensors, options),
      choice: method.choice && choiceOf(callSync(method, tensors, block, { returnSelection: true })),
    };
  });
  return {
    length,
    heads: HEADS.length,
    weights,
    visibility: visibilityOf(method, choice, block, length),
    call: callText(method, block, length),
    explanation,
    milliseconds: performance.now() - started,
  };
}
