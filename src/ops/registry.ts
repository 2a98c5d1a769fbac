/**
 * Every operation, listed once. The command line, the conformance runner, the docs table and the benchmarks are driven
 * from this list.
 *
 * @module
 */
import type { Pointwise } from '../engines/features.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { asam, planAsam } from './asam.ts';
import { attention, planAttention } from './attention.ts';
import { based, planBased, rebased } from './based.ts';
import { bigbird, planBigbird } from './bigbird.ts';
import { blockwiseAttention, planBlockwise } from './blockwise.ts';
import { causalConv1d, planCausalConv1d } from './causal-conv.ts';
import { kMeans, lshBuckets, planKMeans, planLshBuckets, planPoolBlocks, poolBlocks } from './clusters.ts';
import { comba, planComba } from './comba.ts';
import { cosformer, planCosformer } from './cosformer.ts';
import { gatedDeltaProduct, planGatedDeltaProduct } from './delta-product.ts';
import { deltaRule, gatedDeltaRule, planDeltaRule, planGatedDeltaRule } from './delta-rule.ts';
import { deltaSegment, joinDeltaSegment, planDeltaSegment, planJoinDeltaSegment } from './delta-segment.ts';
import { deltaformer, planDeltaformer } from './deltaformer.ts';
import { differentialAttention, planDifferential } from './differential.ts';
import { dilatedAttention, planDilated } from './dilated.ts';
import { ditFastAttention, planDitFast } from './dit-fast.ts';
import { dplr, iplr, planDplr, planIplr } from './dplr.ts';
import { draftAttention, planDraft } from './draft-attention.ts';
import { dsa, planDsa } from './dsa.ts';
import { duoAttention, planDuoAttention } from './duo-attention.ts';
import { dwConv2d, planDwConv2d } from './dw-conv2d.ts';
import { add, mul, planBinary } from './elementwise.ts';
import {
  dpfp,
  type FeatureMethodName,
  focused,
  hedgehog,
  planFeatureAttention,
  qtVit,
  sana,
  slab,
  t2r,
} from './feature-attention.ts';
import {
  planCosine,
  planDpfp,
  planFavor,
  planFocused,
  planHedgehog,
  planL2norm,
  planPointwise,
  planQtVit,
  planQuadratic,
  planSoftmax,
  planT2r,
  planTaylor2,
} from './feature-plans.ts';
import * as features from './features.ts';
import { forgettingAttn, planForgetting } from './forgetting.ts';
import { gatedOja, planGatedOja } from './gated-oja.ts';
import { gdn2, planGdn2 } from './gdn2.ts';
import { gla, hgrn2, planGla, planHgrn2, planSimpleGla, simpleGla } from './gla.ts';
import { hgrn, planHgrn } from './hgrn.ts';
import { kda, planKda } from './kda.ts';
import { lact, planLact } from './lact.ts';
import { lightnet, planLightnet } from './lightnet.ts';
import { linearAttn, planLinearAttn } from './linear-attn.ts';
import { linformer, planLinformer } from './linformer.ts';
import { logCumsumExp, planLogCumsumExp } from './log-cumsum-exp.ts';
import { logLinearAttn, planLogLinear } from './log-linear.ts';
import { logsparseAttention, planLogsparse } from './logsparse.ts';
import { longformer, planLongformer } from './longformer.ts';
import { lshAttention, planLsh } from './lsh.ts';
import { mamba3, planMamba3 } from './mamba3.ts';
import { matmul, planMatmul } from './matmul.ts';
import { mergeState, planMerge } from './merge.ts';
import { mesaNet, planMesaNet } from './mesa-net.ts';
import { metala, planMetala } from './metala.ts';
import { mixtureOfHeads, planMixtureOfHeads } from './mixture-of-heads.ts';
import { mla, planMla } from './mla.ts';
import { mlstm, planMlstm } from './mlstm.ts';
import { moaAttention, planMoaAttention } from './moa.ts';
import { moba, planMoba } from './moba.ts';
import { mom, planMom } from './mom.ts';
import { neighborhoodAttention, planNeighborhood } from './neighborhood.ts';
import { layerNorm, planNorm, rmsNorm } from './norm.ts';
import { nsa, planNsa } from './nsa.ts';
import { nystromAttention, planNystrom } from './nystrom.ts';
import { pagedAttention, planPaged } from './paged.ts';
import { parallax, planParallax } from './parallax.ts';
import { paroAttention, planParo } from './paro.ts';
import { pathAttn, planPath } from './path.ts';
import { performer, planPerformer } from './performer.ts';
import { planPrecond, precondGatedDeltaRule, precondKda } from './precond-delta.ts';
import { planRadial, radialAttention } from './radial.ts';
import { lightningAttn, planLightning, planRetention, retention } from './retention.ts';
import { planRgLru, rgLru } from './rg-lru.ts';
import { planRodimus, rodimus } from './rodimus.ts';
import { planRope, rope } from './rope.ts';
import { planRouting, routingAttention } from './routing.ts';
import { planRwkv, rwkv5, rwkv6 } from './rwkv.ts';
import { planRwkv4, rwkv4 } from './rwkv4.ts';
import { planRwkv7, rwkv7 } from './rwkv7.ts';
import { fftConv, planFftConv, planS4, planS4Kernel, s4, s4Kernel } from './s4.ts';
import { dss, planDss, planS4d, s4d } from './s4d.ts';
import { joinSegment, linearSegment, planJoinSegment, planSegment } from './segment.ts';
import { bitIndices, planBitIndices, planTopK, planTopP, topK, topP } from './select.ts';
import { planSelectiveScan, selectiveScan } from './selective-scan.ts';
import { planSla, sla } from './sla.ts';
import { planSlidingTile, slidingTileAttention } from './sliding-tile.ts';
import { abc, gsa, planAbc, planGsa } from './slots.ts';
import { fixedAttention, planFixed, planStrided, stridedAttention } from './sparse-transformer.ts';
import { planSparseVideoGen, sparseVideoGen } from './sparse-video-gen.ts';
import { planSsd, ssd } from './ssd.ts';
import { planStreamingLlm, streamingLlm } from './streaming-llm.ts';
import { planSwin, swinAttention } from './swin.ts';
import { planTitans, planTitansLinear, titans, titansLinear } from './titans.ts';
import { planTitansLayer, titansLayer } from './titans-layer.ts';
import { planTopKAttention, planTopPAttention, topKAttention, topPAttention } from './top-attention.ts';
import { planTriSolve, triSolve } from './tri-solve.ts';
import { planTttLinear, planTttMlp, tttLinear, tttMlp } from './ttt.ts';
import { planVmoba, vmoba } from './vmoba.ts';
import { planVsa, vsa } from './vsa.ts';

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

/** The calls of a feature map, whose function takes its one tensor as it is. */
function mapCalls(
  map: (x: Tensor, options: never) => Promise<{ o: Tensor }>,
  plan: AnyPlan,
): Pick<PlannedOpEntry, 'run' | 'plan'> {
  return calls(({ x }: { x: Tensor }, options: never) => map(x, options), plan);
}

/** The entry of a function of single elements. */
function pointwiseEntry(
  map: Pointwise,
  call: (x: Tensor, options: never) => Promise<{ o: Tensor }>,
  doc: string,
  paper: string,
  attributes: readonly string[] = [],
): PlannedOpEntry {
  return {
    name: `features.${map}`,
    doc,
    paper,
    inputs: ['x'],
    attributes,
    outputs: ['o'],
    ...mapCalls(call, (b, inputs, options) => planPointwise(b, map, inputs, options)),
  };
}

/** The entry of linear attention behind a feature map. */
function featureEntry(
  name: FeatureMethodName,
  call: AnyOp,
  doc: string,
  paper: string,
  inputs: readonly string[] = [],
  attributes: readonly string[] = [],
): PlannedOpEntry {
  return {
    name,
    doc,
    paper,
    inputs: ['q', 'k', 'v', ...inputs, 'initialState?', 'initialNormalizer?', 'cuSeqlens?'],
    attributes: ['causal', 'eps', ...attributes],
    outputs: ['o', 'finalState', 'finalNormalizer'],
    ...calls(call, (b, tensors, options) => planFeatureAttention(b, name, tensors, options)),
  };
}

/** The entry of a preconditioned delta rule. */
function precondEntry(name: 'precondGatedDeltaRule' | 'precondKda', call: AnyOp, doc: string): PlannedOpEntry {
  return {
    name,
    doc,
    paper: 'Preconditioned DeltaNet, 2026',
    inputs: [
      'q',
      'k',
      'v',
      'g',
      'beta',
      'gAtk',
      'betaAtk',
      'logAtkScale?',
      'initialState?',
      'initialAState?',
      'cuSeqlens?',
    ],
    attributes: ['scale', 'x', 'eps', 'logAtkScale', 'useQkL2norm'],
    outputs: ['o', 'finalState', 'finalAState'],
    ...calls(call, (b, inputs, options) => planPrecond(b, name, inputs, options)),
  };
}

const DELTA = ['scale', 'useQkL2norm', 'snapshotEvery'];
const CHOICE = ['visible', 'first', 'last', 'forced', 'scope'];
const PROJECTION = ['w', 'bias?', 'wK?', 'biasK?'];
const CONVOLUTION = ['convWeight?', 'convBias?'];
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
    name: 'pathAttn',
    doc: 'Causal softmax attention whose positions are products of Householder-like transitions, with forget gates.',
    paper: 'PaTH Attention, Yang 2025',
    inputs: ['q', 'k', 'v', 'w', 'beta', 'g?', 'cuSeqlens?'],
    attributes: ['scale', 'scaleGates'],
    outputs: ['o'],
    ...calls(pathAttn, planPath),
  },
  {
    name: 'deltaformer',
    doc: 'Causal softmax attention over values that the delta rule has changed.',
    paper: 'DeltaFormer, Zhong 2025',
    inputs: ['q', 'k', 'v', 'beta', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o'],
    ...calls(deltaformer, planDeltaformer),
  },
  {
    name: 'mesaNet',
    doc: 'Ridge regression on all tokens so far, solved for every query by conjugate gradients.',
    paper: 'MesaNet, von Oswald 2025',
    inputs: ['q', 'k', 'v', 'g?', 'beta', 'lamb', 'initialHKk?', 'initialHKv?', 'cuSeqlens?'],
    attributes: ['maxIterations', 'tolerance'],
    outputs: ['o', 'hKk', 'hKv'],
    ...calls(mesaNet, planMesaNet),
  },
  {
    name: 'triSolve',
    doc: 'Systems of unit lower triangular matrices, or the inverses.',
    paper: 'UT transform, Joffrain 2006',
    inputs: ['a', 'b?'],
    attributes: [],
    outputs: ['x'],
    ...calls(triSolve, planTriSolve),
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
    name: 'stridedAttention',
    doc: 'Attention over near keys and those at multiples of a stride.',
    paper: 'Sparse Transformer, Child 2019',
    inputs: ['q', 'k', 'v'],
    attributes: ['stride', 'causal', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(stridedAttention, planStrided),
  },
  {
    name: 'fixedAttention',
    doc: 'Attention over the own block and the last tokens of every block.',
    paper: 'Sparse Transformer, Child 2019',
    inputs: ['q', 'k', 'v'],
    attributes: ['stride', 'summary', 'causal', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(fixedAttention, planFixed),
  },
  {
    name: 'dilatedAttention',
    doc: 'Attention over a window of every so many-th key.',
    paper: 'Longformer, Beltagy 2020; DiNAT, Hassani 2022',
    inputs: ['q', 'k', 'v'],
    attributes: ['window', 'dilation', 'causal', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(dilatedAttention, planDilated),
  },
  {
    name: 'blockwiseAttention',
    doc: 'Attention of each block of queries over one block of keys.',
    paper: 'BlockBERT, Qiu 2019',
    inputs: ['q', 'k', 'v', 'permutation?'],
    attributes: ['blockSize', 'causal', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(blockwiseAttention, planBlockwise),
  },
  {
    name: 'logsparseAttention',
    doc: 'Attention over keys at distances that are powers of two.',
    paper: 'LogSparse Transformer, Li 2019',
    inputs: ['q', 'k', 'v'],
    attributes: ['window', 'causal', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(logsparseAttention, planLogsparse),
  },
  {
    name: 'streamingLlm',
    doc: 'Causal attention over the first keys and a window.',
    paper: 'StreamingLLM, Xiao 2023',
    inputs: ['q', 'k', 'v'],
    attributes: ['sinks', 'window', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(streamingLlm, planStreamingLlm),
  },
  {
    name: 'longformer',
    doc: 'Window attention with global tokens that have projections of their own.',
    paper: 'Longformer, Beltagy 2020',
    inputs: ['q', 'k', 'v', 'globalMask?', 'qGlobal?', 'kGlobal?', 'vGlobal?'],
    attributes: ['window', 'dilation', 'causal', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(longformer, planLongformer),
  },
  {
    name: 'bigbird',
    doc: 'Attention over near, global and random blocks.',
    paper: 'BigBird, Zaheer 2020',
    inputs: ['q', 'k', 'v', 'randBlocks?'],
    attributes: ['blockSize', 'randomBlocks', 'seed', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(bigbird, planBigbird),
  },
  {
    name: 'swinAttention',
    doc: 'Attention inside shifted windows of an image, with a bias for every displacement.',
    paper: 'Swin Transformer, Liu 2021',
    inputs: ['q', 'k', 'v', 'biasTable?'],
    attributes: ['windowSize', 'shiftSize', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(swinAttention, planSwin),
  },
  {
    name: 'neighborhoodAttention',
    doc: 'Attention over the neighbors of a token in one to three dimensions.',
    paper: 'Neighborhood attention, Hassani 2023',
    inputs: ['q', 'k', 'v'],
    attributes: ['kernelSize', 'dilation', 'stride', 'causal', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(neighborhoodAttention, planNeighborhood),
  },
  {
    name: 'slidingTileAttention',
    doc: 'Attention of tiles of a video over the tiles around them.',
    paper: 'Sliding tile attention, Zhang 2025',
    inputs: ['q', 'k', 'v'],
    attributes: ['grid', 'tile', 'window', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(slidingTileAttention, planSlidingTile),
  },
  {
    name: 'radialAttention',
    doc: 'Attention over a video whose windows shrink as frames move apart.',
    paper: 'Radial attention, Li 2025',
    inputs: ['q', 'k', 'v'],
    attributes: ['frames', 'tokensPerFrame', 'decay', 'neighbor', 'blockSize', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(radialAttention, planRadial),
  },
  {
    name: 'sparseVideoGen',
    doc: 'Attention over bands of near frames or, for other heads, of near places in all frames.',
    paper: 'Sparse VideoGen, Xi 2025',
    inputs: ['q', 'k', 'v'],
    attributes: ['frames', 'tokensPerFrame', 'width', 'heads', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(sparseVideoGen, planSparseVideoGen),
  },
  {
    name: 'paroAttention',
    doc: 'Attention over a volume whose tokens each head takes in an order of its own, by block masks.',
    paper: 'PAROAttention, Zhao 2025',
    inputs: ['q', 'k', 'v'],
    attributes: ['grid', 'orders', 'blockMasks', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(paroAttention, planParo),
  },
  {
    name: 'duoAttention',
    doc: 'Causal attention in which only some heads see all keys, and the others sinks and recent keys.',
    paper: 'DuoAttention, Xiao 2024',
    inputs: ['q', 'k', 'v', 'gate?'],
    attributes: ['sinks', 'recent', 'full', 'threshold', 'sparsity', 'blend', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(duoAttention, planDuoAttention),
  },
  {
    name: 'moaAttention',
    doc: 'Causal attention over sinks and a window of each head that grows with the length.',
    paper: 'MoA, mixture of sparse attention, Fu 2024',
    inputs: ['q', 'k', 'v'],
    attributes: ['alpha', 'beta', 'length', 'sinks', 'blockSize', 'scale'],
    outputs: ['o', 'lse'],
    ...calls(moaAttention, planMoaAttention),
  },
  {
    name: 'mixtureOfHeads',
    doc: 'Attention by a few heads that each token chooses, with keys and values shared by all.',
    paper: 'Mixture of attention heads, Zhang 2022',
    inputs: ['q?', 'x?', 'wq?', 'k', 'v', 'wo?', 'weights', 'indices?'],
    attributes: ['causal', 'scale'],
    outputs: ['o'],
    ...calls(mixtureOfHeads, planMixtureOfHeads),
  },
  {
    name: 'ditFastAttention',
    doc: 'Window attention plus what full attention had beyond the window at an earlier step.',
    paper: 'DiTFastAttn, Yuan 2024',
    inputs: ['q', 'k', 'v', 'residual?'],
    attributes: ['window', 'scale'],
    outputs: ['o', 'residual?'],
    ...calls(ditFastAttention, planDitFast),
  },
  {
    name: 'topKAttention',
    doc: 'Softmax attention over the k highest scores of each query.',
    paper: 'Explicit sparse transformer, Zhao 2019',
    inputs: ['q', 'k', 'v'],
    attributes: ['k', 'causal', 'scale', 'returnSelection'],
    outputs: ['o', 'lse', 'indices', 'counts'],
    ...calls(topKAttention, planTopKAttention),
  },
  {
    name: 'topPAttention',
    doc: 'Softmax attention over the fewest keys that hold a share of each softmax.',
    paper: 'Twilight, Lin 2025; Tactic, Zhu 2025',
    inputs: ['q', 'k', 'v'],
    attributes: ['p', 'causal', 'scale', 'returnSelection'],
    outputs: ['o', 'lse', 'counts', 'indices'],
    ...calls(topPAttention, planTopPAttention),
  },
  {
    name: 'nsa',
    doc: 'Causal attention on compressed keys, on chosen blocks of keys and on a window, by gates.',
    paper: 'Native Sparse Attention, Yuan 2025',
    inputs: ['q', 'k', 'v', 'gCmp?', 'gSlc?', 'gSwa?', 'kCmp?', 'vCmp?'],
    attributes: ['blockSize', 'blockCounts', 'windowSize', 'scale', 'returnSelection'],
    outputs: ['o', 'selection'],
    ...calls(nsa, planNsa),
  },
  {
    name: 'moba',
    doc: 'Causal attention on the chunks of keys whose means suit each query.',
    paper: 'MoBA, Lu 2025',
    inputs: ['q', 'k', 'v'],
    attributes: ['chunkSize', 'topk', 'scale', 'returnSelection'],
    outputs: ['o', 'lse', 'selection'],
    ...calls(moba, planMoba),
  },
  {
    name: 'vmoba',
    doc: "Attention over a video on the chunks of keys that hold a share of each query's normalised scores.",
    paper: 'VMoBA, Wu 2025',
    inputs: ['q', 'k', 'v'],
    attributes: ['shape', 'chunk', 'threshold', 'topk', 'scale', 'returnSelection'],
    outputs: ['o', 'lse', 'selection'],
    ...calls(vmoba, planVmoba),
  },
  {
    name: 'dsa',
    doc: 'Causal attention on the keys that a small indexer scores highest, one choice for all heads.',
    paper: 'DeepSeek-V3.2-Exp, 2025',
    inputs: ['q', 'k', 'v', 'kScale?', 'vScale?', 'qIdx', 'kIdx', 'wIdx'],
    attributes: ['topk', 'scale', 'returnSelection'],
    outputs: ['o', 'lse', 'indices', 'counts'],
    ...calls(dsa, planDsa),
  },
  {
    name: 'vsa',
    doc: 'Attention over a video: coarse over means of cubes, fine over the cubes that it chooses.',
    paper: 'VSA, Zhang 2025',
    inputs: ['q', 'k', 'v', 'gate?'],
    attributes: ['shape', 'cube', 'topk', 'scale', 'returnSelection'],
    outputs: ['o', 'selection'],
    ...calls(vsa, planVsa),
  },
  {
    name: 'sla',
    doc: 'Softmax attention on chosen blocks plus linear attention on the rest.',
    paper: 'SLA, Zhang 2025',
    inputs: ['q', 'k', 'v', 'proj?', 'projBias?'],
    attributes: ['topk', 'blockQ', 'blockK', 'featureMap', 'linear', 'scale', 'eps', 'returnSelection'],
    outputs: ['o', 'selection'],
    ...calls(sla, planSla),
  },
  {
    name: 'draftAttention',
    doc: 'Attention over a video on the pairs of patches to which a draft of means gives the most weight.',
    paper: 'DraftAttention, Shen 2025',
    inputs: ['q', 'k', 'v'],
    attributes: ['shape', 'pool', 'keep', 'scale', 'returnSelection'],
    outputs: ['o', 'lse', 'selection'],
    ...calls(draftAttention, planDraft),
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
    name: 'selectiveScan',
    doc: 'Selective state-space scan with an expanded state.',
    paper: 'Mamba, Gu and Dao 2023',
    inputs: ['u', 'delta', 'A', 'B', 'C', 'D?', 'z?', 'deltaBias?', 'initialState?', 'cuSeqlens?'],
    attributes: ['deltaSoftplus'],
    outputs: ['o', 'finalState'],
    ...calls(selectiveScan, planSelectiveScan),
  },
  {
    name: 'hgrn',
    doc: 'Element-wise gated recurrence.',
    paper: 'HGRN, Qin 2023',
    inputs: ['x', 'g', 'initialState?', 'cuSeqlens?'],
    attributes: [],
    outputs: ['o', 'finalState'],
    ...calls(hgrn, planHgrn),
  },
  {
    name: 'rgLru',
    doc: 'Real-gated linear recurrent unit.',
    paper: 'Griffin, De 2024',
    inputs: ['x', 'inputGate', 'recurrentGate', 'recurrentParam', 'initialState?', 'cuSeqlens?'],
    attributes: ['c', 'reset'],
    outputs: ['o', 'finalState'],
    ...calls(rgLru, planRgLru),
  },
  {
    name: 'rwkv4',
    doc: 'Decaying softmax-like average of values per channel.',
    paper: 'RWKV, Peng 2023',
    inputs: ['k', 'v', 'w', 'u', 'num?', 'den?', 'max?', 'cuSeqlens?'],
    attributes: [],
    outputs: ['o', 'num', 'den', 'max'],
    ...calls(rwkv4, planRwkv4),
  },
  {
    name: 'logCumsumExp',
    doc: 'Logarithm of a running sum of exponentials.',
    paper: 'ABC, Peng 2022',
    inputs: ['x', 'initial?'],
    attributes: [],
    outputs: ['o', 'final'],
    ...calls(logCumsumExp, planLogCumsumExp),
  },
  {
    name: 'linearAttn',
    doc: 'Linear attention, raw or normalised, causal or not.',
    paper: 'Linear Transformer, Katharopoulos 2020',
    inputs: ['q', 'k', 'v', 'initialState?', 'initialNormalizer?', 'cuSeqlens?'],
    attributes: ['scale', 'normalize', 'eps', 'causal'],
    outputs: ['o', 'finalState', 'finalNormalizer'],
    ...calls(linearAttn, planLinearAttn),
  },
  {
    name: 'retention',
    doc: 'Linear attention whose heads decay at constant rates.',
    paper: 'RetNet, Sun 2023',
    inputs: ['q', 'k', 'v', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(retention, planRetention),
  },
  {
    name: 'lightningAttn',
    doc: 'Linear attention with a constant decay for each head, by the layer or given.',
    paper: 'Lightning Attention-2, Qin 2024',
    inputs: ['q', 'k', 'v', 'slopes?', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale', 'layerIdx', 'numLayers'],
    outputs: ['o', 'finalState'],
    ...calls(lightningAttn, planLightning),
  },
  {
    name: 'rwkv5',
    doc: 'Time mixing of RWKV-5: constant decays, a bonus for the own token.',
    paper: 'Eagle, Peng 2024',
    inputs: ['r', 'k', 'v', 'w', 'u', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(rwkv5, (b, inputs, options) => planRwkv(b, 'rwkv5', inputs, options)),
  },
  {
    name: 'rwkv6',
    doc: 'Time mixing of RWKV-6: decays by token, a bonus for the own token.',
    paper: 'Finch, Peng 2024',
    inputs: ['r', 'k', 'v', 'w', 'u', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(rwkv6, (b, inputs, options) => planRwkv(b, 'rwkv6', inputs, options)),
  },
  {
    name: 'gsa',
    doc: 'Softmax attention over a fixed number of gated memory slots.',
    paper: 'GSA, Zhang 2024',
    inputs: ['q', 'k', 'v', 's', 'g', 'initialHk?', 'initialHv?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'hk', 'hv'],
    ...calls(gsa, planGsa),
  },
  {
    name: 'abc',
    doc: 'Softmax attention over slots that hold running averages.',
    paper: 'ABC, Peng 2022',
    inputs: ['q', 'k', 'v', 's', 'initialHk?', 'initialHv?', 'initialZ?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'hk', 'hv', 'z'],
    ...calls(abc, planAbc),
  },
  {
    name: 'lightnet',
    doc: 'Gated linear attention over running softmax averages.',
    paper: 'You Only Scan Once, Qin 2024',
    inputs: ['q', 'k', 'v', 'initialState?', 'initialZ?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState', 'z'],
    ...calls(lightnet, planLightnet),
  },
  {
    name: 'metala',
    doc: 'Gated linear attention with tied keys and self-augmentation.',
    paper: 'MetaLA, Chou 2024',
    inputs: ['q', 'v', 'g', 'aug', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(metala, planMetala),
  },
  {
    name: 'mlstm',
    doc: 'Matrix memory with exponential gates and a stabiliser.',
    paper: 'xLSTM, Beck 2024',
    inputs: ['q', 'k', 'v', 'i', 'f', 'initialC?', 'initialN?', 'initialM?', 'cuSeqlens?'],
    attributes: ['scale', 'eps'],
    outputs: ['o', 'finalC', 'finalN', 'finalM'],
    ...calls(mlstm, planMlstm),
  },
  {
    name: 'rodimus',
    doc: 'Gated linear attention whose keys and decays are set by one gate and its temperature.',
    paper: 'Rodimus, He 2024',
    inputs: ['q', 'k', 'v', 'g', 'tau', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(rodimus, planRodimus),
  },
  {
    name: 'ssd',
    doc: 'State-space duality: one decay for each head.',
    paper: 'Mamba-2, Dao and Gu 2024',
    inputs: ['x', 'dt', 'A', 'B', 'C', 'D?', 'z?', 'dtBias?', 'initialState?', 'cuSeqlens?'],
    attributes: ['dtSoftplus'],
    outputs: ['o', 'finalState'],
    ...calls(ssd, planSsd),
  },
  {
    name: 'performer',
    doc: 'Linear attention of positive random features.',
    paper: 'Performer, Choromanski 2020',
    inputs: ['q', 'k', 'v', 'projection', 'initialState?', 'initialNormalizer?', 'cuSeqlens?'],
    attributes: ['causal', 'eps', 'stabilizer'],
    outputs: ['o', 'finalState', 'finalNormalizer'],
    ...calls(performer, planPerformer),
  },
  {
    name: 'cosformer',
    doc: 'Linear attention re-weighted by the cosine of the distance.',
    paper: 'cosFormer, Qin 2022',
    inputs: ['q', 'k', 'v', 'initialState?', 'initialNormalizer?'],
    attributes: ['causal', 'eps', 'maxLength', 'offset'],
    outputs: ['o', 'finalState', 'finalNormalizer'],
    ...calls(cosformer, planCosformer),
  },
  {
    name: 'based',
    doc: 'Linear attention of second-order Taylor features.',
    paper: 'Based, Arora 2024',
    inputs: ['q', 'k', 'v', 'initialState?', 'initialNormalizer?', 'cuSeqlens?'],
    attributes: ['scale', 'eps'],
    outputs: ['o', 'finalState', 'finalNormalizer'],
    ...calls(based, (b, inputs, options) => planBased(b, 'based', inputs, options)),
  },
  {
    name: 'rebased',
    doc: 'Linear attention whose weights are squares.',
    paper: 'ReBased, Aksenov 2024',
    inputs: ['q', 'k', 'v', 'initialState?', 'initialNormalizer?', 'cuSeqlens?'],
    attributes: ['scale', 'eps'],
    outputs: ['o', 'finalState', 'finalNormalizer'],
    ...calls(rebased, (b, inputs, options) => planBased(b, 'rebased', inputs, options)),
  },
  featureEntry(
    'hedgehog',
    hedgehog,
    'Linear attention of a mirrored softmax of a learned linear map.',
    'Hedgehog, Zhang 2024',
    PROJECTION,
    ['scale'],
  ),
  featureEntry(
    't2r',
    t2r,
    'Linear attention of a rectified learned linear map.',
    'Finetuning Pretrained Transformers into RNNs, Kasai 2021',
    PROJECTION,
  ),
  featureEntry(
    'dpfp',
    dpfp,
    'Linear attention of products of rectified elements.',
    'Linear Transformers Are Secretly Fast Weight Programmers, Schlag 2021',
    [],
    ['nu'],
  ),
  featureEntry(
    'focused',
    focused,
    'Linear attention of sharpened directions, with a convolution of the values.',
    'FLatten Transformer, Han 2023',
    CONVOLUTION,
    ['power', 'height', 'width'],
  ),
  featureEntry('sana', sana, 'Linear attention of rectified queries and keys for images.', 'SANA, Xie 2024'),
  featureEntry(
    'slab',
    slab,
    'Linear attention of rectified queries and keys, with a convolution of the values.',
    'SLAB, Guo 2024',
    CONVOLUTION,
    ['height', 'width'],
  ),
  featureEntry(
    'qtVit',
    qtVit,
    'Linear attention of a second-order map without mixed products.',
    'QT-ViT, Xu 2024',
    [],
    ['alpha', 'c', 'gamma'],
  ),
  {
    name: 'tttLinear',
    doc: 'A linear layer that learns from every mini-batch of tokens while it reads them.',
    paper: 'TTT, Sun 2024',
    inputs: [
      'q',
      'k',
      'v',
      'eta',
      'lnWeight?',
      'lnBias?',
      'tokenIdx?',
      'initialState?',
      'initialStateBias?',
      'initialGradient?',
      'initialPosition?',
      'cuSeqlens?',
    ],
    attributes: ['miniBatchSize', 'eps', 'scale', 'residual', 'flush', 'bias'],
    outputs: ['o', 'finalState', 'finalStateBias', 'gradient', 'position'],
    ...calls(tttLinear, planTttLinear),
  },
  {
    name: 'tttMlp',
    doc: 'A network of two layers that learns from every mini-batch of tokens while it reads them.',
    paper: 'TTT, Sun 2024',
    inputs: [
      'q',
      'k',
      'v',
      'eta',
      'lnWeight?',
      'lnBias?',
      'tokenIdx?',
      'w1',
      'b1',
      'w2',
      'b2',
      'initialGradient?',
      'initialPosition?',
      'cuSeqlens?',
    ],
    attributes: ['miniBatchSize', 'eps', 'scale', 'residual', 'flush'],
    outputs: ['o', 'w1', 'b1', 'w2', 'b2', 'gradient', 'position'],
    ...calls(tttMlp, planTttMlp),
  },
  {
    name: 'titansLinear',
    doc: 'A linear memory that learns from every token with momentum and forgetting.',
    paper: 'Titans, Behrouz 2025',
    inputs: [
      'q',
      'k',
      'v',
      'eta',
      'theta',
      'alpha',
      'lnWeight?',
      'lnBias?',
      'initialState?',
      'initialMomentum?',
      'initialAnchor?',
      'initialPosition?',
      'cuSeqlens?',
    ],
    attributes: ['chunkSize', 'eps', 'scale', 'target', 'residual'],
    outputs: ['o', 'finalState', 'finalMomentum', 'anchor', 'position'],
    ...calls(titansLinear, planTitansLinear),
  },
  {
    name: 'titans',
    doc: 'A memory of several layers that learns from every token with momentum and forgetting.',
    paper: 'Titans, Behrouz 2025',
    inputs: [
      'q',
      'k',
      'v',
      'eta',
      'theta',
      'alpha',
      'lnWeight?',
      'lnBias?',
      'initialState',
      'initialMomentum?',
      'initialAnchor?',
      'initialPosition?',
      'cuSeqlens?',
    ],
    attributes: ['chunkSize', 'eps', 'scale', 'target', 'residual', 'depth', 'expansion', 'activation'],
    outputs: ['o', 'finalState', 'finalMomentum', 'anchor', 'position'],
    ...calls(titans, planTitans),
  },
  {
    name: 'titansLayer',
    doc: 'A memory that learns, as context, gate or layer of attention with a window.',
    paper: 'Titans, Behrouz 2025',
    inputs: [
      'x',
      'wq',
      'wk',
      'wv',
      'wo',
      'mq',
      'mk',
      'mv',
      'mo?',
      'gates',
      'gatesBias?',
      'persistentK?',
      'persistentV?',
      'lnWeight?',
      'lnBias?',
      'initialState',
      'initialMomentum?',
    ],
    attributes: ['combine', 'window', 'chunkSize', 'eps', 'target', 'residual', 'depth', 'expansion', 'activation'],
    outputs: ['o', 'finalState', 'finalMomentum'],
    ...calls(titansLayer, planTitansLayer),
  },
  {
    name: 'lact',
    doc: 'SwiGLU fast weights that learn from large chunks.',
    paper: 'LaCT, Zhang 2025',
    inputs: [
      'q',
      'k',
      'v',
      'lr0',
      'lr1',
      'lr2',
      'momentum?',
      'w0',
      'w1',
      'w2',
      'initialNorms?',
      'initialGradient?',
      'initialMomentum?',
      'initialFactor?',
      'initialPosition?',
      'cuSeqlens?',
    ],
    attributes: ['chunkSize', 'useMuon'],
    outputs: ['o', 'w0', 'w1', 'w2', 'norms', 'gradient', 'position', 'finalMomentum', 'factor'],
    ...calls(lact, planLact),
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
      'x',
      'dt',
      'A',
      'lambda',
      'angle',
      'D?',
      'z?',
      'initialState?',
      'initialAngle?',
      'initialK?',
      'initialX?',
      'cuSeqlens?',
    ],
    attributes: [],
    outputs: ['o', 'finalState', 'finalAngle', 'finalK', 'finalX'],
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
    name: 'deltaRule',
    doc: 'Linear attention whose writes replace what their key held.',
    paper: 'DeltaNet, Yang 2024',
    inputs: ['q', 'k', 'v', 'beta', 'initialState?', 'cuSeqlens?'],
    attributes: DELTA,
    outputs: ['o', 'finalState', 'snapshots'],
    ...calls(deltaRule, planDeltaRule),
  },
  {
    name: 'gatedDeltaRule',
    doc: 'The delta rule with one decay for each head.',
    paper: 'Gated Delta Networks, Yang 2024',
    inputs: ['q', 'k', 'v', 'g', 'beta', 'initialState?', 'cuSeqlens?'],
    attributes: DELTA,
    outputs: ['o', 'finalState', 'snapshots'],
    ...calls(gatedDeltaRule, planGatedDeltaRule),
  },
  {
    name: 'kda',
    doc: 'The delta rule with a decay for each row of the state.',
    paper: 'Kimi Linear, 2025',
    inputs: ['q', 'k', 'v', 'g', 'beta', 'initialState?', 'cuSeqlens?'],
    attributes: DELTA,
    outputs: ['o', 'finalState', 'snapshots'],
    ...calls(kda, planKda),
  },
  {
    name: 'gdn2',
    doc: 'The delta rule with gates for what is erased and what is written.',
    paper: 'Gated DeltaNet-2, 2026',
    inputs: ['q', 'k', 'v', 'g', 'b', 'w', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(gdn2, planGdn2),
  },
  {
    name: 'comba',
    doc: 'The delta rule that reads the state before it decays, with an output correction.',
    paper: 'Comba, Hu 2025',
    inputs: ['q', 'k', 'v', 'p', 'g', 'beta', 'D?', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale', 'useQkL2norm'],
    outputs: ['o', 'finalState'],
    ...calls(comba, planComba),
  },
  {
    name: 'gatedDeltaProduct',
    doc: 'Several steps of the delta rule a token.',
    paper: 'DeltaProduct, Siems 2025',
    inputs: ['q', 'k', 'v', 'beta', 'g?', 'initialState?', 'cuSeqlens?'],
    attributes: ['numHouseholder', 'scale', 'useQkL2norm'],
    outputs: ['o', 'finalState'],
    ...calls(gatedDeltaProduct, planGatedDeltaProduct),
  },
  {
    name: 'dplr',
    doc: 'Recurrence with a diagonal plus low-rank transition.',
    paper: 'RWKV-7, Peng 2025',
    inputs: ['q', 'k', 'v', 'a', 'b', 'gk', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(dplr, planDplr),
  },
  {
    name: 'iplr',
    doc: 'Recurrence with an identity plus low-rank transition.',
    paper: 'RWKV-7, Peng 2025',
    inputs: ['q', 'k', 'v', 'a', 'b', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(iplr, planIplr),
  },
  {
    name: 'rwkv7',
    doc: 'Time mixing of RWKV-7: decays by token, a key removed and a key written.',
    paper: 'Goose, Peng 2025',
    inputs: ['r', 'w', 'k', 'v', 'kk', 'a', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale'],
    outputs: ['o', 'finalState'],
    ...calls(rwkv7, planRwkv7),
  },
  precondEntry(
    'precondGatedDeltaRule',
    precondGatedDeltaRule,
    'The gated delta rule with keys preconditioned by their curvature.',
  ),
  precondEntry('precondKda', precondKda, 'KDA with keys preconditioned by their curvature.'),
  {
    name: 'gatedOja',
    doc: 'The delta rule with keys and values swapped, and decays of the columns.',
    paper: 'Gated Oja rule, fla',
    inputs: ['q', 'k', 'v', 'beta', 'gv?', 'initialState?', 'cuSeqlens?'],
    attributes: ['scale', 'useQkL2norm'],
    outputs: ['o', 'finalState'],
    ...calls(gatedOja, planGatedOja),
  },
  {
    name: 'deltaSegment',
    doc: 'What a span of tokens does to any state of a delta rule.',
    paper: 'DeltaNet, Yang 2024',
    inputs: ['k', 'v', 'beta', 'g?', 'gk?', 'cuSeqlens?'],
    attributes: ['useQkL2norm'],
    outputs: ['update', 'transition'],
    ...calls(deltaSegment, planDeltaSegment),
  },
  {
    name: 'joinDeltaSegment',
    doc: 'The state after a segment of a delta rule.',
    paper: 'DeltaNet, Yang 2024',
    inputs: ['state', 'update', 'transition'],
    attributes: [],
    outputs: ['state'],
    ...calls(joinDeltaSegment, planJoinDeltaSegment),
  },
  {
    name: 'linearSegment',
    doc: 'What a span of tokens does to any state of gated linear attention.',
    paper: 'Gated Linear Attention, Yang 2023',
    inputs: ['k', 'v', 'g?', 'gk?', 'cuSeqlens?'],
    attributes: [],
    outputs: ['update', 'decay'],
    ...calls(linearSegment, planSegment),
  },
  {
    name: 'joinSegment',
    doc: 'The state after a segment.',
    paper: 'Gated Linear Attention, Yang 2023',
    inputs: ['state', 'update', 'decay'],
    attributes: [],
    outputs: ['state'],
    ...calls(joinSegment, planJoinSegment),
  },
  {
    name: 'linformer',
    doc: 'Softmax attention over learned linear combinations of keys and values.',
    paper: 'Linformer, Wang 2020',
    inputs: ['q', 'k', 'v', 'projK', 'projV?'],
    attributes: ['scale'],
    outputs: ['o'],
    ...calls(linformer, planLinformer),
  },
  {
    name: 'nystromAttention',
    doc: 'Softmax attention by landmarks, the means of segments of tokens.',
    paper: 'Nyströmformer, Xiong 2021',
    inputs: ['q', 'k', 'v', 'convWeight?'],
    attributes: ['numLandmarks', 'iterations', 'normalizer', 'scale'],
    outputs: ['o'],
    ...calls(nystromAttention, planNystrom),
  },
  {
    name: 'lshAttention',
    doc: 'Attention within chunks of tokens sorted by random directions, in several rounds.',
    paper: 'Reformer, Kitaev 2020',
    inputs: ['qk', 'v', 'rotations?'],
    attributes: [
      'chunkLength',
      'numHashes',
      'numBuckets',
      'chunksBefore',
      'chunksAfter',
      'causal',
      'scale',
      'selfScore',
      'seed',
      'returnSelection',
    ],
    outputs: ['o', 'buckets'],
    ...calls(lshAttention, planLsh),
  },
  {
    name: 'routingAttention',
    doc: 'Attention within clusters of the tokens that lie nearest to centroids.',
    paper: 'Routing Transformer, Roy 2021',
    inputs: ['q', 'k', 'v', 'centroids', 'memK?', 'memV?'],
    attributes: ['window', 'numClusters', 'causal', 'normalize', 'scale', 'decay', 'returnSelection'],
    outputs: ['o', 'centroids', 'queries', 'keys'],
    ...calls(routingAttention, planRouting),
  },
  {
    name: 'asam',
    doc: 'Heads that mix sparse and dense attention by a gate, or take one of the two.',
    paper: 'ASAM, Li 2026',
    inputs: [
      'q',
      'k',
      'v',
      'gate?',
      'x?',
      'featureWeight?',
      'featureBias?',
      'normWeight?',
      'normBias?',
      'complexityWeight1?',
      'complexityBias1?',
      'complexityWeight2?',
      'complexityBias2?',
      'confidenceWeight1?',
      'confidenceBias1?',
      'confidenceWeight2?',
      'confidenceBias2?',
      'threshold?',
      'temperature?',
      'centroids?',
      'scaleWeights?',
    ],
    attributes: [
      'pattern',
      'gating',
      'scale',
      'windowSize',
      'stride',
      'localWindow',
      'numRandom',
      'seed',
      'clusterTemperature',
      'affinity',
      'scales',
      'numPools',
    ],
    outputs: ['o', 'gate', 'complexity', 'confidence'],
    ...calls(asam, planAsam),
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
    name: 'causalConv1d',
    doc: 'Short depthwise causal convolution along time, with state.',
    paper: 'H3, Fu 2022; Mamba, Gu and Dao 2023',
    inputs: ['x', 'weight', 'bias?', 'initialState?', 'cuSeqlens?'],
    attributes: ['activation'],
    outputs: ['o', 'finalState'],
    ...calls(causalConv1d, planCausalConv1d),
  },
  {
    name: 's4d',
    doc: 'Diagonal state-space model.',
    paper: 'S4D, Gu 2022',
    inputs: ['u', 'AReal', 'AImag', 'C', 'logDt', 'D?', 'initialState?', 'cuSeqlens?'],
    attributes: ['discretization', 'mode'],
    outputs: ['o', 'finalState'],
    ...calls(s4d, planS4d),
  },
  {
    name: 'dss',
    doc: 'Diagonal state space with an exponential or softmax-normalised kernel.',
    paper: 'DSS, Gupta 2022',
    inputs: ['u', 'AReal', 'AImag', 'C', 'logDt', 'D?', 'initialState?', 'cuSeqlens?'],
    attributes: ['variant', 'length', 'eps', 'mode'],
    outputs: ['o', 'finalState'],
    ...calls(dss, planDss),
  },
  {
    name: 's4',
    doc: 'Normal plus low-rank state-space model as a long convolution.',
    paper: 'S4, Gu 2021',
    inputs: ['u', 'AReal', 'AImag', 'P', 'B', 'C', 'logDt', 'D?'],
    attributes: ['length'],
    outputs: ['o'],
    ...calls(s4, planS4),
  },
  {
    name: 's4Kernel',
    doc: 'The convolution kernels of a normal plus low-rank state-space model.',
    paper: 'S4, Gu 2021',
    inputs: ['AReal', 'AImag', 'P', 'B', 'C', 'logDt'],
    attributes: ['length'],
    outputs: ['kernel'],
    ...calls(s4Kernel, planS4Kernel),
  },
  {
    name: 'fftConv',
    doc: 'Causal convolution with long kernels by FFT.',
    paper: 'S4, Gu 2021; Hyena, Poli 2023',
    inputs: ['u', 'kernel', 'D?'],
    attributes: [],
    outputs: ['o'],
    ...calls(fftConv, planFftConv),
  },
  {
    name: 'dwConv2d',
    doc: 'Depthwise convolution of images.',
    paper: 'FLatten, Han 2023; SLAB, Guo 2024',
    inputs: ['x', 'weight', 'bias?'],
    attributes: [],
    outputs: ['o'],
    ...calls(dwConv2d, planDwConv2d),
  },
  {
    name: 'topK',
    doc: 'The k columns of the highest scores of each row, as bits.',
    paper: 'Floyd and Rivest 1975',
    inputs: ['scores'],
    attributes: ['k', ...CHOICE],
    outputs: ['bits'],
    ...calls(topK, planTopK),
  },
  {
    name: 'topP',
    doc: "The fewest columns of the highest scores of each row that hold a share of the row's sum, as bits.",
    paper: 'Holtzman 2020',
    inputs: ['scores'],
    attributes: ['p', 'minimum', ...CHOICE],
    outputs: ['bits'],
    ...calls(topP, planTopP),
  },
  {
    name: 'bitIndices',
    doc: 'Numbers of the bits of each row that are set, in ascending order.',
    paper: '',
    inputs: ['bits'],
    attributes: ['capacity'],
    outputs: ['indices', 'counts'],
    ...calls(bitIndices, planBitIndices),
  },
  {
    name: 'poolBlocks',
    doc: 'Mean, sum, largest or least rows of blocks of tokens.',
    paper: '',
    inputs: ['x'],
    attributes: ['block', 'kind'],
    outputs: ['o'],
    ...calls(poolBlocks, planPoolBlocks),
  },
  {
    name: 'lshBuckets',
    doc: 'Hash buckets of rows by the nearest of random directions.',
    paper: 'Reformer, Kitaev 2020',
    inputs: ['x', 'rotations'],
    attributes: [],
    outputs: ['buckets'],
    ...calls(lshBuckets, planLshBuckets),
  },
  {
    name: 'kMeans',
    doc: 'Clusters of rows about the means of their rows.',
    paper: 'Lloyd 1982',
    inputs: ['x', 'initial?'],
    attributes: ['clusters', 'iterations', 'by'],
    outputs: ['labels', 'centroids', 'counts'],
    ...calls(kMeans, planKMeans),
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
  pointwiseEntry('elu1', features.elu1, 'elu(x) + 1.', 'Katharopoulos 2020'),
  pointwiseEntry('relu', features.relu, 'max(x, 0).', ''),
  pointwiseEntry('squaredRelu', features.squaredRelu, 'max(x, 0) squared.', 'Primer, So 2021'),
  pointwiseEntry('sigmoid', features.sigmoid, 'Logistic function.', ''),
  pointwiseEntry('exp', features.exp, 'Exponential function.', ''),
  pointwiseEntry('silu', features.silu, 'x times its logistic function.', 'Elfwing 2018'),
  pointwiseEntry('tanh', features.tanh, 'Hyperbolic tangent.', ''),
  pointwiseEntry('softplus', features.softplus, 'ln(1 + e^x).', ''),
  pointwiseEntry(
    'logSigmoid',
    features.logSigmoid,
    'Logarithm of a forget gate, divided by a temperature.',
    'GLA, Yang 2024',
    ['temperature'],
  ),
  {
    name: 'features.softmax',
    doc: 'Softmax over the last axis.',
    paper: 'Efficient Attention, Shen 2021',
    inputs: ['x'],
    attributes: ['scale'],
    outputs: ['o'],
    ...mapCalls(features.softmax, planSoftmax),
  },
  {
    name: 'features.l2norm',
    doc: 'Rows of length one.',
    paper: '',
    inputs: ['x'],
    attributes: ['eps'],
    outputs: ['o'],
    ...mapCalls(features.l2norm, planL2norm),
  },
  {
    name: 'features.focused',
    doc: 'Focused function: sharper directions of the same length.',
    paper: 'FLatten Transformer, Han 2023',
    inputs: ['x'],
    attributes: ['power'],
    outputs: ['o'],
    ...mapCalls(features.focused, planFocused),
  },
  {
    name: 'features.taylor2',
    doc: 'Second-order Taylor map of the exponential.',
    paper: 'Based, Arora 2024',
    inputs: ['x'],
    attributes: ['scale', 'layout'],
    outputs: ['o'],
    ...mapCalls(features.taylor2, planTaylor2),
  },
  {
    name: 'features.quadratic',
    doc: 'Products of all pairs of elements.',
    paper: 'ReBased, Aksenov 2024',
    inputs: ['x'],
    attributes: ['scale', 'layout'],
    outputs: ['o'],
    ...mapCalls(features.quadratic, planQuadratic),
  },
  {
    name: 'features.qtVit',
    doc: 'Second-order Taylor map without mixed products.',
    paper: 'QT-ViT, Xu 2024',
    inputs: ['x'],
    attributes: ['alpha', 'c', 'gamma'],
    outputs: ['o'],
    ...mapCalls(features.qtVit, planQtVit),
  },
  {
    name: 'features.cosine',
    doc: 'Rectified features that fade with the distance of positions.',
    paper: 'cosFormer, Qin 2022',
    inputs: ['x'],
    attributes: ['maxLength', 'offset'],
    outputs: ['o'],
    ...mapCalls(features.cosine, planCosine),
  },
  {
    name: 'features.dpfp',
    doc: 'Deterministic parameter-free projection.',
    paper: 'Schlag 2021',
    inputs: ['x'],
    attributes: ['nu'],
    outputs: ['o'],
    ...mapCalls(features.dpfp, planDpfp),
  },
  {
    name: 'features.hedgehog',
    doc: 'Softmax over a linear map and its negative.',
    paper: 'Hedgehog, Zhang 2024',
    inputs: ['x', 'w', 'bias?'],
    attributes: ['scale'],
    outputs: ['o'],
    ...calls(features.hedgehog, planHedgehog),
  },
  {
    name: 'features.t2r',
    doc: 'Rectified linear map.',
    paper: 'T2R, Kasai 2021',
    inputs: ['x', 'w', 'bias?'],
    attributes: [],
    outputs: ['o'],
    ...calls(features.t2r, planT2r),
  },
  {
    name: 'features.favor',
    doc: 'Positive random features of the softmax kernel.',
    paper: 'Performer, Choromanski 2021',
    inputs: ['x', 'projection'],
    attributes: ['kernel', 'stabilizer', 'eps'],
    outputs: ['o'],
    ...calls(features.favor, planFavor),
  },
];
