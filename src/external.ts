/**
 * The whole package but its builds: `createRuntime({ modules })` takes them from the caller.
 *
 * @module wattn/external
 */
export {
  BlockMask,
  type BlockMaskOptions,
  blockMask,
  type DensityOptions,
  type KeyBlocks,
  type MaskSource,
  type PictureOptions,
} from './block-mask.ts';
export type { CodedTensors, CodeOptions } from './engines/coded-inputs.ts';
export type { DeltaInputs, DeltaOptions, DeltaResult, NormalizingOptions } from './engines/delta-operands.ts';
export type { FastActivation, FastResidual, FastTarget, FastWeightInputs } from './engines/fast-weight.ts';
export type { ProductLayout, Stabilizer } from './engines/features.ts';
export type { Activation } from './engines/gemm.ts';
export type { GridShape } from './engines/grid.ts';
export type { LinearInputs, LinearOptions, LinearResult, Stepped } from './engines/linear-operands.ts';
export type { PatternInputs, PatternOptions, PatternResult } from './engines/pattern-call.ts';
export type { Forced } from './engines/select/choose.ts';
export type { Nearness } from './engines/select/k-means.ts';
export type { Reduction, Visible } from './engines/select/map.ts';
export * from './errors.ts';
export type { Picture } from './mask/picture.ts';
export type { Predicate } from './mask/predicate.ts';
export {
  type AsamInputs,
  type AsamOptions,
  type AsamPattern,
  type AsamResult,
  asam,
  asamSync,
} from './ops/asam.ts';
export {
  type AttentionInputs,
  type AttentionOptions,
  type AttentionResult,
  attention,
  attentionSync,
  type QuantizationKind,
  type QuantizationOptions,
} from './ops/attention.ts';
export {
  type BasedInputs,
  type BasedOptions,
  type BasedStepInputs,
  based,
  basedStep,
  basedSync,
  rebased,
  rebasedStep,
  rebasedSync,
} from './ops/based.ts';
export {
  type BigbirdInputs,
  type BigbirdOptions,
  bigbird,
  bigbirdSync,
} from './ops/bigbird.ts';
export {
  type BlockwiseAttentionInputs,
  type BlockwiseAttentionOptions,
  blockwiseAttention,
  blockwiseAttentionSync,
} from './ops/blockwise.ts';
export {
  type CascadeInputs,
  type CascadeOptions,
  cascadeAttention,
  cascadeAttentionSync,
  type Levels,
} from './ops/cascade.ts';
export {
  type CausalConv1dInputs,
  type CausalConv1dOptions,
  type CausalConv1dResult,
  type CausalConv1dStepInputs,
  causalConv1d,
  causalConv1dStep,
  causalConv1dSync,
} from './ops/causal-conv.ts';
export {
  type ChaiClustersInputs,
  type ChaiClustersOptions,
  type ChaiInputs,
  type ChaiOptions,
  chai,
  chaiClusters,
  chaiClustersSync,
  chaiSync,
} from './ops/chai.ts';
export type { ChosenInputs, ChosenOptions, ChosenResult } from './ops/chosen-blocks.ts';
export type {
  ChosenTokenInputs,
  ChosenTokenOptions,
  ChosenTokenResult,
  SinkOptions,
} from './ops/chosen-tokens.ts';
export {
  type KMeansInputs,
  type KMeansOptions,
  type KMeansResult,
  kMeans,
  kMeansSync,
  type LshBucketsInputs,
  type LshBucketsResult,
  lshBuckets,
  lshBucketsSync,
  type PoolBlocksInputs,
  type PoolBlocksOptions,
  poolBlocks,
  poolBlocksSync,
} from './ops/clusters.ts';
export { type CombaInputs, comba, combaStep, combaSync } from './ops/comba.ts';
export {
  type CosformerInputs,
  type CosformerOptions,
  type CosformerStepInputs,
  type CosformerStepOptions,
  cosformer,
  cosformerStep,
  cosformerSync,
} from './ops/cosformer.ts';
export {
  type GatedDeltaProductInputs,
  type GatedDeltaProductOptions,
  type GatedDeltaProductStepInputs,
  gatedDeltaProduct,
  gatedDeltaProductStep,
  gatedDeltaProductSync,
} from './ops/delta-product.ts';
export {
  deltaRule,
  deltaRuleStep,
  deltaRuleSync,
  type GatedDeltaRuleInputs,
  gatedDeltaRule,
  gatedDeltaRuleStep,
  gatedDeltaRuleSync,
} from './ops/delta-rule.ts';
export {
  type DeltaSegment,
  type DeltaSegmentInputs,
  type DeltaSegmentOptions,
  deltaSegment,
  deltaSegmentSync,
  type JoinDeltaSegmentInputs,
  joinDeltaSegment,
  joinDeltaSegmentSync,
} from './ops/delta-segment.ts';
export { type DeltaformerInputs, type DeltaformerOptions, deltaformer, deltaformerSync } from './ops/deltaformer.ts';
export {
  type DifferentialAttentionInputs,
  differentialAttention,
  differentialAttentionSync,
} from './ops/differential.ts';
export {
  type DilatedAttentionOptions,
  dilatedAttention,
  dilatedAttentionSync,
} from './ops/dilated.ts';
export {
  type DitFastAttentionInputs,
  type DitFastAttentionOptions,
  type DitFastAttentionResult,
  ditFastAttention,
  ditFastAttentionSync,
} from './ops/dit-fast.ts';
export {
  type DoubleSparsityChannelsInputs,
  type DoubleSparsityChannelsOptions,
  type DoubleSparsityChannelsResult,
  type DoubleSparsityInputs,
  type DoubleSparsityLabelsInputs,
  type DoubleSparsityLabelsResult,
  doubleSparsity,
  doubleSparsityChannels,
  doubleSparsityChannelsSync,
  doubleSparsityLabels,
  doubleSparsityLabelsSync,
  doubleSparsitySync,
} from './ops/double-sparsity.ts';
export {
  type DplrInputs,
  dplr,
  dplrStep,
  dplrSync,
  type IplrInputs,
  iplr,
  iplrStep,
  iplrSync,
} from './ops/dplr.ts';
export {
  type DraftAttentionInputs,
  type DraftAttentionOptions,
  type DraftAttentionResult,
  draftAttention,
  draftAttentionSync,
} from './ops/draft-attention.ts';
export { type DsaInputs, type DsaOptions, type DsaResult, dsa, dsaSync } from './ops/dsa.ts';
export {
  type DuoAttentionInputs,
  type DuoAttentionOptions,
  duoAttention,
  duoAttentionSync,
} from './ops/duo-attention.ts';
export { type DwConv2dInputs, dwConv2d, dwConv2dSync } from './ops/dw-conv2d.ts';
export { add, addSync, type BinaryInputs, mul, mulSync } from './ops/elementwise.ts';
export {
  type ConvolvedAttentionInputs,
  type DpfpAttentionOptions,
  dpfp,
  dpfpStep,
  dpfpSync,
  type FeatureAttentionInputs,
  type FeatureAttentionOptions,
  type FeatureStep,
  type FocusedAttentionOptions,
  focused,
  focusedSync,
  type HedgehogAttentionOptions,
  hedgehog,
  hedgehogStep,
  hedgehogSync,
  type ImageOptions,
  type ProjectedAttentionInputs,
  type QtVitAttentionOptions,
  qtVit,
  qtVitSync,
  type SlabOptions,
  sana,
  sanaSync,
  slab,
  slabSync,
  t2r,
  t2rStep,
  t2rSync,
} from './ops/feature-attention.ts';
export * as features from './ops/features.ts';
export { type FlexPrefillOptions, flexPrefill, flexPrefillSync } from './ops/flex-prefill.ts';
export {
  type ForgettingAttnInputs,
  type ForgettingAttnOptions,
  forgettingAttn,
  forgettingAttnSync,
} from './ops/forgetting.ts';
export { type GatedOjaInputs, gatedOja, gatedOjaStep, gatedOjaSync } from './ops/gated-oja.ts';
export { type Gdn2Inputs, gdn2, gdn2Step, gdn2Sync } from './ops/gdn2.ts';
export {
  type GlaInputs,
  gla,
  glaStep,
  glaSync,
  type Hgrn2Inputs,
  hgrn2,
  hgrn2Step,
  hgrn2Sync,
  type SimpleGlaInputs,
  simpleGla,
  simpleGlaStep,
  simpleGlaSync,
} from './ops/gla.ts';
export { groupedLatentAttention, groupedLatentAttentionSync } from './ops/grouped-latent.ts';
export { type GtaInputs, type GtaOptions, gta, gtaSync } from './ops/gta.ts';
export {
  type EvictionInputs,
  type EvictionResult,
  type H2oOptions,
  h2o,
  h2oSync,
  type TovaOptions,
  tova,
  tovaSync,
} from './ops/h2o.ts';
export {
  type HashAttentionInputs,
  type HashSignaturesInputs,
  type HashSignaturesResult,
  hashAttention,
  hashAttentionSync,
  hashSignatures,
  hashSignaturesSync,
} from './ops/hash-attention.ts';
export { type HgrnInputs, type HgrnResult, type HgrnStepInputs, hgrn, hgrnStep, hgrnSync } from './ops/hgrn.ts';
export {
  type InfLlmBlockOptions,
  type InfLlmBlocksInputs,
  type InfLlmBlocksOptions,
  type InfLlmBlocksResult,
  type InfLlmInputs,
  type InfLlmOptions,
  type InfLlmResult,
  infLlm,
  infLlmBlocks,
  infLlmBlocksSync,
  infLlmSync,
} from './ops/inf-llm.ts';
export { type KdaInputs, kda, kdaStep, kdaSync } from './ops/kda.ts';
export {
  type LactInputs,
  type LactOptions,
  type LactResult,
  type LactStepInputs,
  lact,
  lactStep,
  lactSync,
} from './ops/lact.ts';
export {
  type LightnetInputs,
  type LightnetResult,
  type LightnetStepInputs,
  lightnet,
  lightnetStep,
  lightnetSync,
} from './ops/lightnet.ts';
export {
  type LinearAttnInputs,
  type LinearAttnOptions,
  type LinearAttnResult,
  type LinearAttnStepInputs,
  linearAttn,
  linearAttnStep,
  linearAttnSync,
} from './ops/linear-attn.ts';
export { type LinformerInputs, type LinformerOptions, linformer, linformerSync } from './ops/linformer.ts';
export {
  type LogCumsumExpInputs,
  type LogCumsumExpResult,
  logCumsumExp,
  logCumsumExpSync,
} from './ops/log-cumsum-exp.ts';
export {
  type LogLinearAttnInputs,
  type LogLinearAttnResult,
  type LogLinearAttnStepInputs,
  logLinearAttn,
  logLinearAttnStep,
  logLinearAttnSync,
} from './ops/log-linear.ts';
export {
  type LogsparseAttentionOptions,
  logsparseAttention,
  logsparseAttentionSync,
} from './ops/logsparse.ts';
export {
  type LokiBasisInputs,
  type LokiBasisOptions,
  type LokiBasisResult,
  type LokiInputs,
  type LokiKeysInputs,
  type LokiKeysResult,
  loki,
  lokiBasis,
  lokiBasisSync,
  lokiKeys,
  lokiKeysSync,
  lokiSync,
} from './ops/loki.ts';
export {
  type LongformerInputs,
  type LongformerOptions,
  longformer,
  longformerSync,
} from './ops/longformer.ts';
export {
  type LshAttentionInputs,
  type LshAttentionOptions,
  type LshAttentionResult,
  lshAttention,
  lshAttentionSync,
} from './ops/lsh.ts';
export {
  type MagicPigInputs,
  type MagicPigOptions,
  type MagicPigTablesInputs,
  type MagicPigTablesOptions,
  type MagicPigTablesResult,
  magicPig,
  magicPigSync,
  magicPigTables,
  magicPigTablesSync,
} from './ops/magic-pig.ts';
export {
  type Mamba3Inputs,
  type Mamba3Result,
  type Mamba3StepInputs,
  type Mamba3Tokens,
  mamba3,
  mamba3Step,
  mamba3Sync,
} from './ops/mamba3.ts';
export {
  type MatmulInputs,
  type MatmulOptions,
  matmul,
  matmulSync,
  PackedMatrix,
  packMatrix,
  packMatrixSync,
} from './ops/matmul.ts';
export { type MergeStateInputs, mergeState, mergeStateSync } from './ops/merge.ts';
export {
  type MesaNetInputs,
  type MesaNetOptions,
  type MesaNetResult,
  type MesaNetStepInputs,
  mesaNet,
  mesaNetStep,
  mesaNetSync,
} from './ops/mesa-net.ts';
export { type MetalaInputs, metala, metalaStep, metalaSync } from './ops/metala.ts';
export { type MfaInputs, type MfaOptions, mfa, mfaSync } from './ops/mfa.ts';
export {
  type AShapePlan,
  type BlockSparsePlan,
  type MinferenceOptions,
  type MinferencePlan,
  type MinferenceResult,
  minference,
  minferenceSync,
  type VerticalSlashPlan,
} from './ops/minference.ts';
export {
  type MixtureOfHeadsInputs,
  type MixtureOfHeadsOptions,
  mixtureOfHeads,
  mixtureOfHeadsSync,
} from './ops/mixture-of-heads.ts';
export { type LatentInputs, type MlaInputs, type MlaOptions, mla, mlaSync } from './ops/mla.ts';
export {
  type MlstmInputs,
  type MlstmOptions,
  type MlstmResult,
  type MlstmStepInputs,
  mlstm,
  mlstmStep,
  mlstmSync,
} from './ops/mlstm.ts';
export {
  type MoaAttentionOptions,
  moaAttention,
  moaAttentionSync,
} from './ops/moa.ts';
export { type MobaInputs, type MobaOptions, type MobaResult, moba, mobaSync } from './ops/moba.ts';
export {
  type MomInputs,
  type MomOptions,
  type MomResult,
  type MomStepInputs,
  mom,
  momStep,
  momSync,
} from './ops/mom.ts';
export {
  type NeighborhoodAttentionOptions,
  neighborhoodAttention,
  neighborhoodAttentionSync,
} from './ops/neighborhood.ts';
export {
  type LayerNormInputs,
  layerNorm,
  layerNormSync,
  type NormOptions,
  type RmsNormInputs,
  rmsNorm,
  rmsNormSync,
} from './ops/norm.ts';
export { type NsaInputs, type NsaOptions, type NsaResult, nsa, nsaSync } from './ops/nsa.ts';
export {
  type NystromAttentionInputs,
  type NystromAttentionOptions,
  nystromAttention,
  nystromAttentionSync,
} from './ops/nystrom.ts';
export {
  type PagedAttentionInputs,
  type PagedAttentionOptions,
  pagedAttention,
  pagedAttentionSync,
} from './ops/paged.ts';
export { type ParallaxInputs, parallax, parallaxSync } from './ops/parallax.ts';
export {
  type AxisOrder,
  type ParoAttentionOptions,
  paroAttention,
  paroAttentionSync,
} from './ops/paro.ts';
export { type PathAttnInputs, type PathAttnOptions, pathAttn, pathAttnSync } from './ops/path.ts';
export {
  type PerformerInputs,
  type PerformerOptions,
  type PerformerResult,
  type PerformerStepInputs,
  type PerformerStepOptions,
  performer,
  performerStep,
  performerSync,
} from './ops/performer.ts';
export {
  type PrecondInputs,
  type PrecondOptions,
  type PrecondResult,
  type PrecondStepInputs,
  precondGatedDeltaRule,
  precondGatedDeltaRuleStep,
  precondGatedDeltaRuleSync,
  precondKda,
  precondKdaStep,
  precondKdaSync,
} from './ops/precond-delta.ts';
export {
  type DequantizeKvInputs,
  type DequantizeKvOptions,
  dequantizeKv,
  dequantizeKvSync,
  type QuantizeKvInputs,
  type QuantizeKvOptions,
  quantizeKv,
  quantizeKvSync,
} from './ops/quantize-kv.ts';
export {
  type QuantizedAttentionInputs,
  type QuantizedAttentionOptions,
  quantizedAttention,
  quantizedAttentionSync,
} from './ops/quantized-attention.ts';
export {
  type QuestInputs,
  type QuestOptions,
  type QuestPagesInputs,
  type QuestPagesOptions,
  type QuestPagesResult,
  type QuestResult,
  quest,
  questPages,
  questPagesSync,
  questSync,
} from './ops/quest.ts';
export {
  type RadialAttentionOptions,
  radialAttention,
  radialAttentionSync,
} from './ops/radial.ts';
export {
  type LightningAttnInputs,
  type LightningAttnOptions,
  lightningAttn,
  lightningAttnStep,
  lightningAttnSync,
  retention,
  retentionStep,
  retentionSync,
} from './ops/retention.ts';
export {
  type RetrievalAttentionInputs,
  type RetrievalAttentionOptions,
  type RetrievalIndexInputs,
  type RetrievalIndexOptions,
  type RetrievalIndexResult,
  retrievalAttention,
  retrievalAttentionSync,
  retrievalIndex,
  retrievalIndexSync,
} from './ops/retrieval-attention.ts';
export {
  type RgLruInputs,
  type RgLruOptions,
  type RgLruResult,
  type RgLruStepInputs,
  rgLru,
  rgLruStep,
  rgLruSync,
} from './ops/rg-lru.ts';
export {
  type JoinShardInputs,
  type JoinShardOptions,
  joinShard,
  joinShardSync,
  type RingInputs,
  type RingLayout,
  type RingOptions,
  ringAttention,
  ringAttentionSync,
} from './ops/ring.ts';
export { type RodimusInputs, rodimus, rodimusStep, rodimusSync } from './ops/rodimus.ts';
export { type RopeInputs, type RopeOptions, rope, ropeSync } from './ops/rope.ts';
export {
  type RoutingAttentionInputs,
  type RoutingAttentionOptions,
  type RoutingAttentionResult,
  routingAttention,
  routingAttentionSync,
} from './ops/routing.ts';
export {
  type RwkvInputs,
  rwkv5,
  rwkv5Step,
  rwkv5Sync,
  rwkv6,
  rwkv6Step,
  rwkv6Sync,
} from './ops/rwkv.ts';
export {
  type Rwkv4Inputs,
  type Rwkv4Result,
  type Rwkv4States,
  type Rwkv4StepInputs,
  rwkv4,
  rwkv4Step,
  rwkv4Sync,
} from './ops/rwkv4.ts';
export { type Rwkv7Inputs, rwkv7, rwkv7Step, rwkv7Sync } from './ops/rwkv7.ts';
export {
  type FftConvInputs,
  fftConv,
  fftConvSync,
  type S4Inputs,
  type S4KernelInputs,
  type S4KernelOptions,
  type S4Options,
  s4,
  s4Kernel,
  s4KernelSync,
  s4Sync,
} from './ops/s4.ts';
export {
  type DiagonalInputs,
  type DiagonalMode,
  type DssOptions,
  type DssStepInputs,
  type DssStepOptions,
  dss,
  dssStep,
  dssSync,
  type S4dInputs,
  type S4dOptions,
  type S4dResult,
  type S4dStepInputs,
  type S4dStepOptions,
  type S4dTable,
  s4d,
  s4dStep,
  s4dSync,
  s4dTable,
} from './ops/s4d.ts';
export {
  type SampleAttentionOptions,
  type SampleAttentionResult,
  sampleAttention,
  sampleAttentionSync,
} from './ops/sample-attention.ts';
export {
  type SeerAttentionInputs,
  type SeerAttentionOptions,
  seerAttention,
  seerAttentionSync,
} from './ops/seer-attention.ts';
export {
  type JoinSegmentInputs,
  joinSegment,
  joinSegmentSync,
  type LinearSegment,
  type LinearSegmentInputs,
  linearSegment,
  linearSegmentSync,
} from './ops/segment.ts';
export {
  type BitIndicesInputs,
  type BitIndicesOptions,
  type BitIndicesResult,
  bitIndices,
  bitIndicesSync,
  type ScoresInputs,
  type SelectOptions,
  type SelectResult,
  type TopKOptions,
  type TopPOptions,
  topK,
  topKSync,
  topP,
  topPSync,
} from './ops/select.ts';
export {
  type SelectiveScanInputs,
  type SelectiveScanOptions,
  type SelectiveScanResult,
  type SelectiveScanStepInputs,
  selectiveScan,
  selectiveScanStep,
  selectiveScanSync,
} from './ops/selective-scan.ts';
export { type SlaInputs, type SlaOptions, type SlaResult, sla, slaSync } from './ops/sla.ts';
export {
  type SlidingTileAttentionOptions,
  slidingTileAttention,
  slidingTileAttentionSync,
} from './ops/sliding-tile.ts';
export {
  type AbcInputs,
  type AbcResult,
  type AbcStepInputs,
  abc,
  abcStep,
  abcSync,
  type GsaInputs,
  type GsaResult,
  type GsaStepInputs,
  gsa,
  gsaStep,
  gsaSync,
} from './ops/slots.ts';
export {
  type PyramidBudgetsOptions,
  type PyramidkvOptions,
  pyramidBudgets,
  pyramidkv,
  pyramidkvSync,
  type SnapkvInputs,
  type SnapkvOptions,
  type SnapkvResult,
  snapkv,
  snapkvSync,
} from './ops/snapkv.ts';
export { type SpargeAttnOptions, spargeAttn, spargeAttnSync } from './ops/sparge-attn.ts';
export { type SparqInputs, type SparqOptions, sparq, sparqSync } from './ops/sparq.ts';
export {
  type FixedAttentionOptions,
  fixedAttention,
  fixedAttentionSync,
  type StridedAttentionOptions,
  stridedAttention,
  stridedAttentionSync,
} from './ops/sparse-transformer.ts';
export {
  type SparseVideoGenAttentionOptions,
  type SparseVideoGenHeadsOptions,
  sparseVideoGen,
  sparseVideoGenHeads,
  sparseVideoGenHeadsSync,
  sparseVideoGenSync,
} from './ops/sparse-video-gen.ts';
export {
  type SparseVideoGen2Inputs,
  type SparseVideoGen2Options,
  type SparseVideoGen2Result,
  sparseVideoGen2,
  sparseVideoGen2Sync,
} from './ops/sparse-videogen2.ts';
export {
  type SsdInputs,
  type SsdOptions,
  type SsdResult,
  type SsdStepInputs,
  ssd,
  ssdStep,
  ssdSync,
} from './ops/ssd.ts';
export {
  type StreamingLlmOptions,
  streamingLlm,
  streamingLlmSync,
} from './ops/streaming-llm.ts';
export {
  type SwinAttentionInputs,
  type SwinAttentionOptions,
  swinAttention,
  swinAttentionSync,
} from './ops/swin.ts';
export { type TacticInputs, type TacticOptions, tactic, tacticSync } from './ops/tactic.ts';
export {
  type TitansInputs,
  type TitansLinearInputs,
  type TitansLinearStepInputs,
  type TitansMemoryInputs,
  type TitansMemoryOptions,
  type TitansMemoryStepInputs,
  type TitansOptions,
  type TitansResult,
  titans,
  titansLinear,
  titansLinearStep,
  titansLinearSync,
  titansStep,
  titansSync,
} from './ops/titans.ts';
export {
  type TitansCombination,
  type TitansLayerInputs,
  type TitansLayerOptions,
  type TitansLayerResult,
  titansLayer,
  titansLayerSync,
} from './ops/titans-layer.ts';
export {
  type TopAttentionInputs,
  type TopKAttentionOptions,
  type TopKAttentionResult,
  type TopPAttentionOptions,
  type TopPAttentionResult,
  topKAttention,
  topKAttentionSync,
  topPAttention,
  topPAttentionSync,
} from './ops/top-attention.ts';
export { type TpaInputs, type TpaOptions, tpa, tpaSync } from './ops/tpa.ts';
export { type TriSolveInputs, triSolve, triSolveSync } from './ops/tri-solve.ts';
export {
  type TttInputs,
  type TttLinearInputs,
  type TttLinearOptions,
  type TttLinearResult,
  type TttLinearStepInputs,
  type TttMlpInputs,
  type TttMlpResult,
  type TttMlpStepInputs,
  type TttOptions,
  type TttResult,
  tttLinear,
  tttLinearStep,
  tttLinearSync,
  tttMlp,
  tttMlpStep,
  tttMlpSync,
} from './ops/ttt.ts';
export {
  type TwilightInputs,
  type TwilightKeysInputs,
  type TwilightKeysResult,
  type TwilightOptions,
  twilight,
  twilightKeys,
  twilightKeysSync,
  twilightSync,
} from './ops/twilight.ts';
export { type VmobaInputs, type VmobaOptions, vmoba, vmobaSync } from './ops/vmoba.ts';
export { type VsaInputs, type VsaOptions, type VsaResult, vsa, vsaSync } from './ops/vsa.ts';
export { type XAttentionOptions, xAttention, xAttentionSync } from './ops/xattention.ts';
export type { Pattern, PatternPlace } from './pattern.ts';
export * as patterns from './patterns.ts';
export type { MemoryReport } from './runtime/allocator.ts';
export type { GivenModule, GivenModules, ModuleSource } from './runtime/builds.ts';
export { createRuntime, type ExternalRuntimeOptions } from './runtime/create-external.ts';
export type { Host } from './runtime/features.ts';
export type { Runtime, RuntimeInfo } from './runtime/runtime.ts';
export type { StartOptions } from './runtime/start.ts';
export type { Build, Variant } from './runtime/variant.ts';
export type { WasmInfo, WasmRuntime } from './runtime/wasm-runtime.ts';
export { type DType, Tensor, type TensorData, type TensorView } from './tensor.ts';
export type { Gpu, GpuFacts } from './webgpu/device.ts';
export type { Transfers } from './webgpu/gpu-memory.ts';
export type { GpuRuntime, WebGpuInfo } from './webgpu/gpu-runtime.ts';
