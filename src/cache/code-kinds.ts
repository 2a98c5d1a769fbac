/**
 * Storages of fewer than eight bits, for caches that keep every token.
 *
 * @module
 */
import { expectNames } from '../engines/shapes.ts';
import { codeBytesPerToken, codeLayer, restoreCodeLayer } from './code-layer.ts';
import { type CodePlan, checkPlan, int4Plan, kiviPlan } from './code-plan.ts';
import type { LayerKind } from './layer-kind.ts';
import type { CacheType } from './layer-kinds.ts';
import type { FullPolicy } from './paged-kinds.ts';

/** int4: a scale for each token of 32 channels; kivi4, kivi2: keys by channel, values by token, the newest tokens as floats. */
export type CodeType = 'int4' | 'kivi4' | 'kivi2';

const PLANS: Readonly<Record<CodeType, CodePlan>> = {
  int4: int4Plan(),
  kivi4: kiviPlan({ bits: 4 }),
  kivi2: kiviPlan({ bits: 2 }),
};

const planOf = (dtype: CacheType) => PLANS[dtype as CodeType];

export const codeKind: LayerKind<FullPolicy> = {
  kind: 'full',
  storages: Object.keys(PLANS) as CodeType[],
  check(op, policy, size) {
    expectNames(`${op}: policy`, 'option', policy, ['kind']);
    for (const plan of Object.values(PLANS)) checkPlan(op, { ...size, layer: 0 }, plan);
    return { kind: 'full' };
  },
  create: ({ runtime, dtype }, size) => codeLayer(runtime, size, planOf(dtype)),
  restore: ({ runtime, dtype }, size, _, bytes) => restoreCodeLayer(runtime, size, planOf(dtype), bytes),
  bytesPerToken: (size, dtype) => codeBytesPerToken(size, planOf(dtype)),
};
