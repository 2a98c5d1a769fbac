/**
 * The token mixers, by the names that files have for them.
 *
 * @module
 */
import type { MixerConfig, MixerName } from '../config.ts';
import type { Mixer } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';
import { attention, moba, window } from './attention.ts';
import { gatedDeltaNet } from './gated-deltanet.ts';
import { gla } from './gla.ts';
import { kda } from './kda.ts';
import { mamba2 } from './mamba2.ts';
import { retnet } from './retnet.ts';
import { rwkv7 } from './rwkv7.ts';

export const MIXERS: Readonly<Record<MixerName, (weights: ModelWeights, config: MixerConfig) => Mixer>> = {
  attention,
  window,
  moba,
  'gated-deltanet': gatedDeltaNet,
  kda,
  gla,
  retnet,
  mamba2,
  rwkv7,
};
