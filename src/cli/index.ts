/**
 * What the `wattn` command is made of and runs anywhere: golden cases and their files.
 *
 * @module wattn/cli
 */

export {
  readSafetensors,
  type SafetensorsData,
  type SafetensorsDType,
  SafetensorsError,
  type SafetensorsFile,
  type SafetensorsTensor,
  tensorValues,
  writeSafetensors,
} from '../safetensors.ts';
export { describe } from './info.ts';
export { type CaseResult, replay } from './replay.ts';
