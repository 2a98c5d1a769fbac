import assert from 'node:assert/strict';
import { keptBlocks } from '../src/engines/block-list.ts';
import type { Runtime, Tensor } from '../src/index.ts';
import type { NdArray } from './reference/ndarray.ts';
import type { Quantised, Sample } from './samples.ts';

/** Inputs by name, as samples or as tensors already made. */
export type CallInputs = Record<string, Sample | Tensor | undefined>;

function isSample(input: Sample | Tensor): input is Sample {
  return 'data' in input && typeof input.data !== 'function';
}

/** Runtimes that have their scratch: one block, which the first call takes for good. */
const warm = new WeakSet<Runtime>();

/**
 * Runs an op on samples and copies its outputs out. All free memory holds NaN before the call, so that reading what was not written shows,
 * and no more blocks may be in use afterwards than before, but for lists of masks, which stay.
 */
export async function call<Inputs, Options, Result extends object>(
  rt: Runtime,
  op: (inputs: Inputs, options?: Options) => Promise<Result>,
  inputs: CallInputs,
  options?: Options,
): Promise<{ [name in keyof Result]: NdArray }> {
  // block masks of patterns stay for later calls
  const inUse = () => rt.memory().blocks - keptBlocks(rt);
  const blocks = inUse();
  const spare = warm.has(rt) ? 0 : 1;
  const outputs: Record<string, NdArray> = {};
  await rt.scope(async () => {
    const tensors: Record<string, Tensor> = {};
    for (const [name, input] of Object.entries(inputs)) {
      if (input) tensors[name] = isSample(input) ? rt.tensor(input.data, input.shape) : input;
    }
    rt.poison();
    const result = await op(tensors as Inputs, options);
    for (const [name, tensor] of Object.entries(result) as [string, Tensor][]) {
      outputs[name] = { shape: tensor.shape, data: await tensor.data() };
    }
  });
  const left = inUse() - blocks;
  assert.ok(left <= spare, `${blocks + left} blocks in use after the call, ${blocks} before`);
  // a call of nothing takes no scratch yet
  if (left > 0) warm.add(rt);
  return outputs as { [name in keyof Result]: NdArray };
}

/** The codes of a quantised sample as an i8 tensor. */
export function codesOn(rt: Runtime, { codes, value }: Quantised): Tensor {
  return rt.tensor(codes, value.shape, 'i8');
}
