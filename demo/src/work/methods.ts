/**
 * The methods that the page shows and races, with their settings for blocks of a size.
 *
 * @module
 */
import * as wattn from 'wattn';
import { OPS } from 'wattn/explain';
import type { Against, MethodCard } from '../messages.ts';
import type { OperandKind } from './problem.ts';
import type { Check } from './verify.ts';

type Tensor = wattn.Tensor;

/** A method and its settings. */
export interface Method {
  readonly id: string;
  readonly label: string;
  readonly family: string;
  /** Name of the function. */
  readonly op: string;
  /** Operands besides q, k and v. */
  readonly extra?: Readonly<Record<string, OperandKind>>;
  readonly options: (block: number, length: number) => object;
  readonly against?: Against;
  /** The rule of a method that sees by places. */
  readonly pattern?: (block: number, length: number) => wattn.Pattern;
  /** Keys of a block of a method that chooses blocks; 1 where it chooses tokens. */
  readonly choice?: (block: number) => number;
  /** What its output must be; left out where there is no short definition. */
  readonly check?: Check;
}

const { patterns } = wattn;
const causal = true;
const globals = [0, 1, 2, 3];
const every = 'Every pair';
const byPlace = 'By place';
const chosen = 'By content';
const linear = 'With a state';

/** In the order in which the page lists them. */
export const METHODS: readonly Method[] = [
  {
    id: 'dense',
    label: 'Dense',
    family: every,
    op: 'attention',
    options: () => ({ causal }),
    against: 'causal',
    pattern: () => patterns.causal(),
    check: { kind: 'softmax' },
  },
  {
    id: 'int8',
    label: 'Dense, 8-bit',
    family: every,
    op: 'attention',
    options: () => ({ causal, quantization: 'int8' }),
    against: 'causal',
    pattern: () => patterns.causal(),
    check: { kind: 'softmax', tolerance: 0.05 },
  },
  {
    id: 'forgetting',
    label: 'Forgetting',
    family: every,
    op: 'forgettingAttn',
    extra: { g: 'headGate' },
    options: () => ({}),
    pattern: () => patterns.causal(),
    check: { kind: 'softmax', fading: true },
  },
  {
    id: 'window',
    label: 'Window',
    family: byPlace,
    op: 'attention',
    options: (block) => ({ causal, window: [2 * block - 1, 0] }),
    against: 'causal',
    pattern: (block) => patterns.window(2 * block - 1, 0),
    check: { kind: 'softmax' },
  },
  {
    id: 'streaming',
    label: 'StreamingLLM',
    family: byPlace,
    op: 'streamingLlm',
    options: (block) => ({ sinks: 4, window: 2 * block }),
    against: 'causal',
    pattern: (block) => patterns.streamingLlm({ sinks: 4, window: 2 * block }),
    check: { kind: 'softmax' },
  },
  {
    id: 'strided',
    label: 'Strided',
    family: byPlace,
    op: 'stridedAttention',
    options: (block) => ({ stride: block, causal }),
    against: 'causal',
    pattern: (block) => patterns.strided({ stride: block, causal }),
    check: { kind: 'softmax' },
  },
  {
    id: 'fixed',
    label: 'Fixed',
    family: byPlace,
    op: 'fixedAttention',
    options: (block) => ({ stride: block, summary: block / 8, causal }),
    against: 'causal',
    pattern: (block) => patterns.fixed({ stride: block, summary: block / 8, causal }),
    check: { kind: 'softmax' },
  },
  {
    id: 'dilated',
    label: 'Dilated',
    family: byPlace,
    op: 'dilatedAttention',
    options: (block) => ({ window: block, dilation: 4, causal }),
    against: 'causal',
    pattern: (block) => patterns.dilated({ window: block, dilation: 4, causal }),
    check: { kind: 'softmax' },
  },
  {
    id: 'logsparse',
    label: 'LogSparse',
    family: byPlace,
    op: 'logsparseAttention',
    options: (block) => ({ window: block, causal }),
    against: 'causal',
    pattern: (block) => patterns.logsparse({ window: block, causal }),
    check: { kind: 'softmax' },
  },
  {
    id: 'longformer',
    label: 'Longformer',
    family: byPlace,
    op: 'longformer',
    extra: { globalMask: 'globals' },
    options: (block) => ({ window: block, causal }),
    against: 'causal',
    pattern: (block, length) =>
      patterns.longformer({ window: block, global: globals.filter((token) => token < length), causal }),
    check: { kind: 'softmax' },
  },
  {
    id: 'bigbird',
    label: 'BigBird',
    family: byPlace,
    op: 'bigbird',
    options: (block) => ({ blockSize: block, randomBlocks: 2, seed: 1 }),
    against: 'full',
    pattern: (block) => patterns.bigbird({ blockSize: block, randomBlocks: 2, seed: 1 }),
    check: { kind: 'softmax' },
  },
  {
    id: 'moba',
    label: 'MoBA',
    family: chosen,
    op: 'moba',
    options: (block) => ({ chunkSize: block, topk: 4 }),
    against: 'causal',
    choice: (block) => block,
    check: { kind: 'softmax' },
  },
  {
    id: 'nsa',
    label: 'NSA',
    family: chosen,
    op: 'nsa',
    extra: { gCmp: 'third', gSlc: 'third', gSwa: 'third' },
    options: (block) => ({ blockSize: block, blockCounts: 4, windowSize: 2 * block }),
    against: 'causal',
    choice: (block) => block,
    check: { kind: 'branches' },
  },
  {
    id: 'xattention',
    label: 'XAttention',
    family: chosen,
    op: 'xAttention',
    options: (block) => ({ stride: 4, block, threshold: 0.9 }),
    against: 'causal',
    choice: (block) => block,
    check: { kind: 'softmax' },
  },
  {
    id: 'flexprefill',
    label: 'FlexPrefill',
    family: chosen,
    op: 'flexPrefill',
    options: (block) => ({ block, gamma: 0.9 }),
    against: 'causal',
    choice: (block) => block,
    check: { kind: 'softmax' },
  },
  {
    id: 'topk',
    label: 'Top k',
    family: chosen,
    op: 'topKAttention',
    options: (block) => ({ k: block, causal }),
    against: 'causal',
    choice: () => 1,
    check: { kind: 'softmax' },
  },
  {
    id: 'topp',
    label: 'Top p',
    family: chosen,
    op: 'topPAttention',
    options: () => ({ p: 0.9, causal }),
    against: 'causal',
    choice: () => 1,
    check: { kind: 'softmax' },
  },
  {
    id: 'h2o',
    label: 'H2O',
    family: chosen,
    op: 'h2o',
    options: (block) => ({ heavy: block, recent: block }),
    against: 'causal',
  },
  {
    id: 'nystrom',
    label: 'Nyströmformer',
    family: chosen,
    op: 'nystromAttention',
    options: (block, length) => ({ numLandmarks: Math.min(block, length) }),
    against: 'full',
  },
  {
    id: 'linear',
    label: 'Linear',
    family: linear,
    op: 'linearAttn',
    options: () => ({}),
    check: { kind: 'recurrence' },
  },
  {
    id: 'retnet',
    label: 'RetNet',
    family: linear,
    op: 'retention',
    options: () => ({}),
    check: { kind: 'recurrence', decay: (head) => Math.log1p(-(2 ** (-5 - head))) },
  },
  {
    id: 'simplegla',
    label: 'Mamba-2 gates',
    family: linear,
    op: 'simpleGla',
    extra: { g: 'headGate' },
    options: () => ({}),
    check: { kind: 'recurrence', decay: 'headGate' },
  },
  {
    id: 'gla',
    label: 'GLA',
    family: linear,
    op: 'gla',
    extra: { gk: 'channelGate' },
    options: () => ({}),
    check: { kind: 'recurrence', decay: 'channelGate' },
  },
  {
    id: 'delta',
    label: 'Delta rule',
    family: linear,
    op: 'deltaRule',
    extra: { beta: 'rate' },
    options: () => ({ useQkL2norm: true }),
    check: { kind: 'recurrence', erases: true },
  },
  {
    id: 'gateddelta',
    label: 'Gated delta rule',
    family: linear,
    op: 'gatedDeltaRule',
    extra: { g: 'headGate', beta: 'rate' },
    options: () => ({ useQkL2norm: true }),
    check: { kind: 'recurrence', decay: 'headGate', erases: true },
  },
  {
    id: 'kda',
    label: 'Kimi delta',
    family: linear,
    op: 'kda',
    extra: { g: 'channelGate', beta: 'rate' },
    options: () => ({ useQkL2norm: true }),
    check: { kind: 'recurrence', decay: 'channelGate', erases: true },
  },
  {
    id: 'based',
    label: 'Based',
    family: linear,
    op: 'based',
    options: () => ({}),
    check: { kind: 'weights', weight: (score) => 1 + score + score ** 2 / 2 },
  },
  {
    id: 'rebased',
    label: 'ReBased',
    family: linear,
    op: 'rebased',
    options: () => ({}),
    check: { kind: 'weights', weight: (score) => score ** 2 },
  },
];

/** The method of this id. */
export function methodOf(id: string): Method {
  const method = METHODS.find((each) => each.id === id);
  if (!method) throw new Error(`there is no method '${id}'`);
  return method;
}

/** What the registry says of a function. */
function entryOf(op: string): (typeof OPS)[number] {
  const entry = OPS.find(({ name }) => name === op);
  if (!entry) throw new Error(`the registry has no operation '${op}'`);
  return entry;
}

/** The methods, as the page lists them. */
export function catalog(): MethodCard[] {
  return METHODS.map(({ id, label, family, op, against }) => {
    const { doc, paper } = entryOf(op);
    return { id, label, family, op, doc, paper, against };
  });
}

/** Names of the results of a call. */
export type Results = { readonly o: Tensor } & Readonly<Record<string, Tensor | undefined>>;

/** Calls a method to the end, here. */
export function callSync(
  { op, options }: Method,
  inputs: Readonly<Record<string, Tensor>>,
  block: number,
  more: object = {},
): Results {
  const call = (wattn as unknown as Record<string, (inputs: object, options: object) => Results>)[`${op}Sync`]!;
  return call(inputs, { ...options(block, inputs.q!.shape[1]!), ...more });
}

/** The call as it could be written. */
export function callText({ op, options, extra = {} }: Method, block: number, length: number): string {
  const settings = JSON.stringify(options(block, length))
    .replace(/"(\w+)":/g, '$1: ')
    .replace(/,/g, ', ');
  const names = ['q', 'k', 'v', ...Object.keys(extra)].join(', ');
  return `${op}({ ${names} }${settings === '{}' ? '' : `, ${settings.replace(/"/g, "'").replace(/^{(.*)}$/, '{ $1 }')}`})`;
}
