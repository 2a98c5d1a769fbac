import type { OpEntry } from '../ops/registry.ts';

export const ONNX_OPS: readonly OpEntry[] = [];
