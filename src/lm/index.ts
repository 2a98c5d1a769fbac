/**
 * Language models of the zoo on wattn: reading, prefill, token by token, with any attention in their layers.
 *
 * @module wattn/lm
 */

export { SafetensorsError } from '../safetensors.ts';
export {
  type AttendRows,
  type AttentionLayer,
  type AttentionSizes,
  cacheLayer,
  rowsLayer,
} from './attention-layer.ts';
export { ATTENTION_METHODS, type AttentionMethod, attentionMethod, type MethodFamily } from './attention-methods.ts';
export { MIXER_NAMES, type MixerConfig, type MixerName, type ModelConfig } from './config.ts';
export type { MixerState } from './mixer.ts';
export { LanguageModel, Sequence, type SequenceOptions } from './model.ts';
export { describeMethod, describePlan, type LayerPlan, loadPlan, type Plan } from './plan.ts';
