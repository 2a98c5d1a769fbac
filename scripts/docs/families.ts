/**
 * The operations in the order and the groups that readers look for them in; what of a method is not in its entry.
 *
 * @module
 */

/** Operations of one kind. */
export interface Family {
  readonly title: string;
  /** What its operations are called with: whole sequences, the newest tokens of a cache, or any tensors. */
  readonly form: 'prefill' | 'decode' | 'call';
  /** In parentheses what only makes or joins operands and results of the others. */
  readonly ops: readonly string[];
}

const family = (title: string, form: Family['form'], ops: string): Family => ({ title, form, ops: ops.split(/\s+/) });

export const FAMILIES: readonly Family[] = [
  family(
    'Softmax attention',
    'prefill',
    `attention differentialAttention forgettingAttn parallax pathAttn deltaformer pagedAttention cascadeAttention
    ringAttention (joinShard) (mergeState)`,
  ),
  family(
    'Compact keys and values',
    'prefill',
    'mla groupedLatentAttention gta mfa tpa quantizedAttention (quantizeKv) (dequantizeKv)',
  ),
  family(
    'Sparse by place',
    'prefill',
    `streamingLlm stridedAttention fixedAttention dilatedAttention blockwiseAttention logsparseAttention longformer
    bigbird duoAttention moaAttention mixtureOfHeads`,
  ),
  family(
    'Images and video',
    'prefill',
    `swinAttention neighborhoodAttention slidingTileAttention radialAttention sparseVideoGen sparseVideoGen2
    paroAttention ditFastAttention draftAttention vsa vmoba`,
  ),
  family(
    'Sparse by content',
    'prefill',
    `nsa moba dsa sla topKAttention topPAttention minference flexPrefill xAttention spargeAttn seerAttention
    sampleAttention lshAttention routingAttention asam`,
  ),
  family(
    'Decoding on part of a cache',
    'decode',
    `quest (questPages) sparq doubleSparsity (doubleSparsityChannels) (doubleSparsityLabels) loki (lokiBasis) (lokiKeys)
    hashAttention (hashSignatures) magicPig (magicPigTables) retrievalAttention (retrievalIndex) twilight (twilightKeys) tactic
    infLlm (infLlmBlocks)`,
  ),
  family('Caches that let tokens go', 'prefill', 'h2o tova snapkv pyramidkv chai (chaiClusters)'),
  family('Low rank', 'prefill', 'linformer nystromAttention'),
  family(
    'Linear attention',
    'prefill',
    `linearAttn retention lightningAttn simpleGla gla hgrn2 rwkv5 rwkv6 ssd mamba3 mlstm metala rodimus gsa abc lightnet
    mom logLinearAttn (linearSegment) (joinSegment)`,
  ),
  family(
    'Linear attention by feature maps',
    'prefill',
    'performer cosformer based rebased hedgehog t2r dpfp focused sana slab qtVit',
  ),
  family(
    'Delta rules',
    'prefill',
    `deltaRule gatedDeltaRule kda gdn2 comba gatedDeltaProduct precondGatedDeltaRule precondKda gatedOja rwkv7 dplr iplr
    (deltaSegment) (joinDeltaSegment)`,
  ),
  family(
    'Networks that learn while they read',
    'prefill',
    'tttLinear tttMlp titansLinear titans titansLayer lact mesaNet',
  ),
  family(
    'Recurrences and state spaces',
    'prefill',
    'selectiveScan hgrn rgLru rwkv4 logCumsumExp s4d dss s4 (s4Kernel) fftConv',
  ),
  family(
    'Feature maps',
    'call',
    `features.elu1 features.relu features.squaredRelu features.sigmoid features.exp features.silu features.tanh
    features.softplus features.logSigmoid features.softmax features.l2norm features.focused features.taylor2
    features.quadratic features.qtVit features.cosine features.dpfp features.hedgehog features.t2r features.favor`,
  ),
  family(
    'Around attention',
    'call',
    `rope rmsNorm layerNorm matmul add mul causalConv1d dwConv2d triSolve topK topP bitIndices poolBlocks lshBuckets
    kMeans`,
  ),
  family(
    'ONNX operators',
    'call',
    `onnx:Attention onnx:FlexAttention onnx:LinearAttention onnx:CausalConvWithState onnx:RotaryEmbedding
    onnx:RMSNormalization onnx:TensorScatter`,
  ),
];

/** What computes the segments of a method's state; tests/docs/methods.test.ts proves each. */
export const SEGMENTS: Readonly<Record<string, 'linearSegment' | 'deltaSegment'>> = {
  linearAttn: 'linearSegment',
  simpleGla: 'linearSegment',
  gla: 'linearSegment',
  deltaRule: 'deltaSegment',
  gatedDeltaRule: 'deltaSegment',
  kda: 'deltaSegment',
};

/** The caches that serve a method token by token, by their options. */
export const CACHES: Readonly<Record<string, readonly [name: string, setting: string]>> = {
  attention: ['KVCache', ''],
  quantizedAttention: ['KVCache', "dtype: 'int4', 'kivi4', 'kivi2'"],
  streamingLlm: ['KVCache', "policy: 'streaming'"],
  duoAttention: ['KVCache', "policy: 'duo'"],
  h2o: ['KVCache', "policy: 'h2o'"],
  tova: ['KVCache', "policy: 'tova'"],
  snapkv: ['KVCache', "policy: 'snapkv'"],
  pyramidkv: ['KVCache', "policy: 'pyramidkv'"],
  chai: ['KVCache', "policy: 'chai'"],
  quest: ['KVCache', "policy: 'quest'"],
  sparq: ['KVCache', "policy: 'sparq'"],
  loki: ['choosingLayer', "kind: 'loki'"],
  doubleSparsity: ['choosingLayer', "kind: 'doubleSparsity'"],
  hashAttention: ['choosingLayer', "kind: 'hashAttention'"],
  mla: ['LatentCache', ''],
  groupedLatentAttention: ['LatentCache', 'latentHeads'],
  tpa: ['FactorCache', ''],
};
