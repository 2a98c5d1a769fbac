/**
 * Every operation, listed once. The command line, the conformance runner, the docs table and the benchmarks are driven
 * from this list.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attention, planAttention } from './attention.ts';
import { differentialAttention, planDifferential } from './differential.ts';
import { add, mul, planBinary } from './elementwise.ts';
import { forgettingAttn, planForgetting } from './forgetting.ts';
import { gla, hgrn2, planGla, planHgrn2, planSimpleGla, simpleGla } from './gla.ts';
import { logLinearAttn, planLogLinear } from './log-linear.ts';
import { mamba3, planMamba3 } from './mamba3.ts';
import { matmul, planMatmul } from './matmul.ts';
import { mergeState, planMerge } from './merge.ts';
import { mla, planMla } from './mla.ts';
import { mom, planMom } from './mom.ts';
import { layerNorm, planNorm, rmsNorm } from './norm.ts';
import { pagedAttention, planPaged } from './paged.ts';
import { parallax, planParallax } from './parallax.ts';
import { planRope, rope } from './rope.ts';

/** Tensors by name. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** One operation. */
export interface OpEntry {
  /** Name of the exported function; `onnx:<Op>` for ONNX operators. */
  readonly name: string;
  /** What it computes, in one sentence. */
  readonly doc: string;
  /** Where the method comes from. */
  readonly paper: string;
  /** Names of inputs; a name that ends in ? may be left out. */
  readonly inputs: readonly string[];
  /** Names of options. */
  readonly attributes: readonly string[];
  /** Names of results. */
  readonly outputs: readonly string[];
  /** Calls it with inputs and options by name. */
  run(inputs: Tensors, options: Readonly<Record<string, unknown>>): Promise<Tensors>;
}

/** An operation that `explain` can lay out without running it. */
export interface PlannedOpEntry extends OpEntry {
  plan(b: Builder, inputs: Tensors, options: Readonly<Record<string, unknown>>): object;
}

type AnyOp = (inputs: never, options: never) => Promise<object>;
type AnyPlan = (b: Builder, inputs: never, options: never) => object;

/** The calls of an entry: its functions check names, shapes and options themselves. */
function calls(run: AnyOp, plan: AnyPlan): Pick<PlannedOpEntry, 'run' | 'plan'> {
  return { run, plan } as unknown as Pick<PlannedOpEntry, 'run' | 'plan'>;
}

const MASKING = ['causal', 'window', 'scale', 'softcap'];

export const OPS: readonly PlannedOpEntry[] = [
  {
    name: 'attention',
    doc: 'Exact softmax attention with masks, windows, biases, sinks, grouped heads and packed batches.',
    paper: 'FlashAttention-2, Dao 2023',
    inputs: [
      'q',
      'k',
      'v',
      'kScale?',
      'vScale?',
      'bias?',
      'mask?',
      'colBias?',
      'alibiSlopes?',
      'sinks?',
      'kvLens?',
      'cuSeqlens?',
      'cuSeqlensK?',
    ],
    attributes: MASKING,
    outputs: ['o', 'lse'],
    ...calls(attention, planAttention),
  },
  {
    name: 'pagedAttention',
    doc: 'Attention of the newest tokens over pages of a shared cache.',
    paper: 'PagedAttention, Kwon 2023',
    inputs: ['q', 'kCache', 'vCache', 'blockTable', 'seqLens', 'kScale?', 'vScale?', 'alibiSlopes?', 'sinks?'],
    attributes: MASKING,
    outputs: ['o', 'lse'],
    ...calls(pagedAttention, planPaged),
  },
  {
    name: 'mla',
    doc: 'Multi-head latent attention, absorbed or expanded.',
    paper: 'DeepSeek-V2, 2024',
    inputs: ['qNope', 'qRope', 'cKv', 'kRope', 'wUk', 'wUv', 'kvLens?'],
    attributes: [...MASKING, 'absorb'],
    outputs: ['o'],
    ...calls(mla, planMla),
  },
  {
    name: 'differentialAttention',
    doc: 'The difference of two softmax attentions.',
    paper: 'Differential Transformer, Ye 2024',
    inputs: ['q1', 'k1', 'q2', 'k2', 'v', 'lambda'],
    attributes: MASKING,
    outputs: ['o'],
    ...calls(differentialAttention, planDifferential),
  },
  {
    name: 'forgettingAttn',
    doc: 'Causal softmax attention whose scores fade with forget gates.',
    paper: 'Forgetting Transformer, Lin 2025',
    inputs: ['q', 'k', 'v', 'g'],
    attributes: ['windowSize', 'scale'],
    outputs: ['o'],
    ...calls(forgettingAttn, planForgetting),
  },
  {
    name: 'parallax',
    doc: 'Softmax attention corrected by a second, linear score.',
    paper: 'Parallax, 2026',
    inputs: ['q', 'k', 'v', 'r'],
    attributes: MASKING,
    outputs: ['o', 'lse'],
    ...calls(parallax, planParallax),
  },
  {
    name: 'simpleGla',
    doc: 'Linear attention with one decay a token and head.',
    paper: 'Mamba-2, Dao and Gu 2024',
    inputs: ['q', 'k', 'v', 'g', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(simpleGla, planSimpleGla),
  },
  {
    name: 'gla',
    doc: 'Linear attention with a decay for each row or column of the state.',
    paper: 'Gated Linear Attention, Yang 2023',
    inputs: ['q', 'k', 'v', 'gk?', 'gv?', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(gla, planGla),
  },
  {
    name: 'hgrn2',
    doc: 'Gated linear attention whose key is the complement of its forget gate.',
    paper: 'HGRN2, Qin 2024',
    inputs: ['q', 'f', 'v', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(hgrn2, planHgrn2),
  },
  {
    name: 'logLinearAttn',
    doc: 'Linear attention with a decaying state for each scale of the past.',
    paper: 'Log-Linear Attention, Guo 2025',
    inputs: ['q', 'k', 'v', 'g', 'levelScales', 'initialState?', 'initialPosition?', 'cuSeqlens?'],
    attributes: [],
    outputs: ['o', 'finalState', 'position'],
    ...calls(logLinearAttn, planLogLinear),
  },
  {
    name: 'mamba3',
    doc: 'Mamba-3: a trapezoidal state-space recurrence with turning keys and queries.',
    paper: 'Mamba-3, 2026',
    inputs: [
      'q',
      'k',
      'v',
      'dt',
      'A',
      'lambda',
      'angles',
      'D?',
      'z?',
      'initialState?',
      'initialAngle?',
      'initialKPrev?',
      'initialVPrev?',
      'cuSeqlens?',
    ],
    attributes: [],
    outputs: ['o', 'finalState', 'angle', 'kPrev', 'vPrev'],
    ...calls(mamba3, planMamba3),
  },
  {
    name: 'mom',
    doc: 'Mixture of memories: linear attention with several states, of which each token updates and reads those it is routed to.',
    paper: 'MoM, Du 2025',
    inputs: ['q', 'k', 'v', 'g?', 'gk?', 'weights', 'indices?', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale', 'shared', 'memories'],
    outputs: ['o', 'finalState'],
    ...calls(mom, planMom),
  },
  {
    name: 'mergeState',
    doc: 'Joins attention results over disjoint keys.',
    paper: 'FlashInfer, Ye 2025',
    inputs: ['oA', 'lseA', 'oB', 'lseB'],
    attributes: [],
    outputs: ['o', 'lse'],
    ...calls(mergeState, planMerge),
  },
  {
    name: 'rope',
    doc: 'Rotary position embedding.',
    paper: 'RoFormer, Su 2021',
    inputs: ['x', 'positions?'],
    attributes: ['base', 'offset', 'interleaved', 'rotaryDim'],
    outputs: ['o'],
    ...calls(rope, planRope),
  },
  {
    name: 'rmsNorm',
    doc: 'RMS normalisation over the last axis.',
    paper: 'Zhang and Sennrich 2019',
    inputs: ['x', 'weight?'],
    attributes: ['eps'],
    outputs: ['o'],
    ...calls(rmsNorm, (b, inputs, options) => planNorm(b, 'rmsNorm', inputs, options, false)),
  },
  {
    name: 'layerNorm',
    doc: 'Layer normalisation over the last axis.',
    paper: 'Ba 2016',
    inputs: ['x', 'weight?', 'bias?'],
    attributes: ['eps'],
    outputs: ['o'],
    ...calls(layerNorm, (b, inputs, options) => planNorm(b, 'layerNorm', inputs, options, true)),
  },
  {
    name: 'matmul',
    doc: 'Matrix product with bias and activation.',
    paper: 'Goto and van de Geijn 2008',
    inputs: ['a', 'b', 'bias?'],
    attributes: ['transposeB', 'activation'],
    outputs: ['o'],
    ...calls(matmul, planMatmul),
  },
  {
    name: 'add',
    doc: 'Element-wise sum.',
    paper: '',
    inputs: ['a', 'b'],
    attributes: [],
    outputs: ['o'],
    ...calls(add, (b, inputs) => planBinary(b, 'add', inputs)),
  },
  {
    name: 'mul',
    doc: 'Element-wise product.',
    paper: '',
    inputs: ['a', 'b'],
    attributes: [],
    outputs: ['o'],
    ...calls(mul, (b, inputs) => planBinary(b, 'mul', inputs)),
  },
];
