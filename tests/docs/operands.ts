/**
 * What the `@example`s of the sources leave out: the tensors they speak of, by name.
 *
 * An operand is its axes, `B T H D`, with how its values are drawn before them: nothing for both signs, `-` for logarithms
 * of decays, `+` for numbers from 0 to 1, `~` for small ones, `0` for zeros, `i` for zeros as i32. A step has no T axis. `= ` begins an expression.
 *
 * @module
 */
import type { Runtime, Tensor } from '../../src/index.ts';

/** Operands of an example, and lengths of its axes that are not the usual ones. */
export type Operands = Readonly<Record<string, string | number>>;

/** Lengths of axes. */
export const AXES: Readonly<Record<string, number>> = { B: 1, T: 64, H: 4, D: 16, F: 32, C: 24, R: 8, E: 32, W: 4 };

/** What a name stands for unless an example says otherwise. */
export const COMMON: Operands = {
  q: 'B T H D',
  k: 'B T H D',
  v: 'B T H D',
  r: 'B T H D',
  x: 'B T H D',
  u: 'H D',
  g: '- B T H',
  gk: '- B T H D',
  gv: '- B T H D',
  beta: '+ B T H',
  a: '~ B T H D',
  b: '~ B T H D',
  state: 'B H D D',
  initialState: 'B H D D',
  normalizer: '+ B H D',
  o: 'B H D',
  bias: 'D',
  weight: '+ D',
  gate: '+ B T H',
  aState: '+ B H D',
  gAtk: '- B T H',
  betaAtk: '+ B T H',
  projection: '256 D',
  lnWeight: '+ H D',
  lnBias: 'H D',
  position: 'i B',
  theta: '+ B T H 1',
  alpha: '+ B T H 1',
  eta: '+ B T H 1',
};

const LATENT = { qNope: 'B T H D', qRope: 'B T H R', cKv: 'B T C', kRope: 'B T R', wUk: 'H C D', wUv: 'H C D' };
const FACTORS = { aQ: 'B T 2 H', bQ: 'B T 2 D', aK: 'B T 2 H', bK: 'B T 2 D', aV: 'B T 2 H', bV: 'B T 2 D' };
/** Diagonal state spaces: E channels of D complex modes. */
const MODES = {
  AReal: '- E D',
  AImag: 'E D',
  C: 'E D 2',
  logDt: '- E',
  D: 'E',
  u: 'N T E',
  state: 'N E D 2',
  N: 1,
  T: 1024,
};
const SCAN = {
  x: 'B T E',
  u: 'B T E',
  w: '- E',
  g: '- B T E',
  z: 'B T E',
  state: 'B E',
  initialState: 'B E',
  buffer: 'B E',
};
const CONVOLUTION = { x: 'B T E', weight: 'E W', bias: 'E', state: 'B E 3' };
const MAMBA = { ...SCAN, delta: '+ B T E', A: '- E D', B: 'N T D', C: 'N T D', D: 'E', N: 1, state: 'N E D' };
const SSD = {
  x: 'N T H D',
  dt: '+ N T H',
  A: '- H',
  B: 'N T 1 F',
  C: 'N T 1 F',
  D: 'H',
  N: 1,
  state: 'N H D F',
  o: 'N H D',
};
const IMAGE = { T: 196, convWeight: '3 3 D', convBias: 'D' };
const SLOTS = { s: 'B T H 8', g: '- B T H 8', hk: 'B H D 8', hv: 'B H 8 D', z: 'B H 8' };
const RWKV = { w: '- B T H D', kk: 'B T H D', u: 'H D' };
const MLSTM = { i: 'B T H', f: 'B T H', c: 'B H D D', n: '+ B H D', m: 'B H 1' };
const MESA = { lamb: '+ H D', hKk: '0 B H D D', hKv: '0 B H D D' };
const LACT = {
  lr0: '+ B T H',
  lr1: '+ B T H',
  lr2: '+ B T H',
  w0: 'B H F D',
  w1: 'B H D F',
  w2: 'B H F D',
  norms: '+ B H 80',
  gradient: '0 B H 1536',
};
const NETWORK = { w1: 'B H D 64', b1: 'B H 1 64', w2: 'B H 64 D', b2: 'B H 1 D', gradient: '0 B H 2128' };
const MAMBA3 = {
  x: 'B T H D',
  dt: '+ B T H',
  A: '- H',
  lambda: '+ B T H',
  angle: 'B T H R',
  D: 'H',
  z: 'B T H D',
  lastAngle: 'B H R',
  lastK: 'B H 16',
  lastX: 'B H 16',
};
const SIZE = { size: '= { layer: 0, layers: 2, kvHeads: 4, headDim: 16, capacity: 256 }' };
const CACHE = {
  T: 4,
  D: 64,
  layer: '= 0',
  cache: '= new KVCache(rt, { layers: 1, kvHeads: 4, headDim: 64, capacity: 64 })',
  refused: '= 0',
};
const FILES = {
  ...CACHE,
  writeFile: '= async (_name: string, _bytes: Uint8Array): Promise<void> => {}',
  readFile: '= async (_name: string) => new KVCache(rt, { layers: 1, kvHeads: 4, headDim: 64, capacity: 64 }).save()',
};
const MODEL = {
  model:
    "= LanguageModel.read(rt, process.getBuiltinModule('node:fs').readFileSync('tests/lm/models/attention.safetensors'))",
};
const CHANNELS = { T: 512, channels: '= (await doubleSparsityChannels({ q, k }, { r: 16 })).channels' };
const VIDEO = { T: 8192, H: 1 };

/** What is particular to an example, by the symbol it documents. */
export const PARTICULAR: Readonly<Record<string, Operands>> = {
  createRuntime: {
    readFile:
      "= async (path: string) => (await import('node:fs/promises')).readFile(path.replace('node_modules/wattn/', ''))",
  },
  chaiLayer: { size: '= { layer: 0, layers: 2, kvHeads: 16, headDim: 16, capacity: 256 }' },
  choosingLayer: SIZE,
  restoreChoosingLayer: {
    ...SIZE,
    saved: "= choosingLayer(rt, size, { kind: 'quest', topk: 64 }).save()",
  },
  slotLayer: SIZE,
  FactorCache: { ...FACTORS, T: 4, H: 32, D: 64 },
  LatentCache: { ...LATENT, T: 4, C: 512, R: 64 },
  YocoCache: { T: 4, D: 64 },
  KVCache: CACHE,
  'KVCache.append': CACHE,
  'KVCache.attend': { ...CACHE, T: 0 },
  'KVCache.extend': CACHE,
  'KVCache.fork': CACHE,
  'KVCache.truncate': CACHE,
  'KVCache.save': FILES,
  'KVCache.saveAsync': FILES,
  'KVCache.restore': FILES,
  loadPlan: MODEL,
  describePlan: MODEL,
  'LanguageModel.read': {
    readFile: "= async (name: string) => (await import('node:fs/promises')).readFile('tests/lm/models/' + name)",
  },

  Attention: { Q: 'B H T D', K: 'B H T D', V: 'B H T D', past_key: 'B H 8 D', past_value: 'B H 8 D' },
  CausalConvWithState: { input: 'B E T', weight: 'E 1 W', past_state: 'B E 3' },
  FlexAttention: {
    Q: 'B H T D',
    K: 'B H T D',
    V: 'B H T D',
    graph:
      "= { inputs: [{ name: 's' }], nodes: [{ op: 'Tanh', inputs: ['s'], outputs: ['t'] }], outputs: [{ name: 't' }] }",
  },
  LinearAttention: { query: 'B T 128', key: 'B T 128', value: 'B T 128', decay: '- B T 8', beta: '+ B T 8' },
  RMSNormalization: { X: 'B T D', scale: 'D' },
  RotaryEmbedding: {
    input: 'B H T D',
    cos_cache: 'T 8',
    sin_cache: 'T 8',
    position_ids: '= rt.tensor(Int32Array.from({ length: 64 }, (_, i) => i), [1, 64])',
  },
  TensorScatter: { past_cache: 'B H T D', update: 'B H 4 D', write_indices: 'i B' },

  asam: { gate: '+ B H' },
  basedStep: { state: 'B H 153 D', normalizer: '+ B H 153' },
  rebasedStep: { state: 'B H 136 D', normalizer: '+ B H 136' },
  cascadeAttention: { prefixK: 'B 32 H D', prefixV: 'B 32 H D' },
  causalConv1d: CONVOLUTION,
  causalConv1dStep: CONVOLUTION,
  chaiClusters: { H: 16 },
  chai: { H: 16, clusters: '= (await chaiClusters({ q, k }, { clusters: 8 })).clusters' },
  lshBuckets: { qk: 'B T H D', rotations: 'H D 4 8' },
  comba: { p: 'B T H D' },
  combaStep: { p: 'B T H D' },
  cosformerStep: { t: '= 0', state: 'B H F D', normalizer: '+ B H F' },
  gatedDeltaProduct: { k: 'B 128 H D', v: 'B 128 H D', beta: '+ B 128 H' },
  gatedDeltaProductStep: { k: 'B 2 H D', v: 'B 2 H D', beta: '+ B 2 H' },
  differentialAttention: { q1: 'B T H D', k1: 'B T H D', q2: 'B T H D', k2: 'B T H D', lambda: '+ H' },
  doubleSparsity: { T: 512 },
  doubleSparsityLabels: CHANNELS,
  twilight: {
    ...CHANNELS,
    labels: '= (await doubleSparsityLabels({ k, channels })).labels',
    codes: '= (await twilightKeys({ k })).codes',
    range: '= (await twilightKeys({ k })).range',
  },
  draftAttention: VIDEO,
  dsa: { qIdx: 'B T H D', kIdx: 'B T D', wIdx: 'B T H' },
  duoAttention: { gate: '+ H' },
  dwConv2d: { x: 'B 8 8 D', weight: '3 3 D' },
  mul: { gate: '+ B T H D' },
  hedgehog: { w: 'H D 16' },
  hedgehogStep: { w: 'H D 16', state: 'B H 32 D', normalizer: '+ B H 32' },
  t2r: { w: 'H F D', bias: 'H F' },
  t2rStep: { w: 'H F D', bias: 'H F', state: 'B H F D', normalizer: '+ B H F' },
  dpfpStep: { state: 'B H 128 D', normalizer: '+ B H 128' },
  focused: IMAGE,
  slab: IMAGE,
  'features.cosine': { position: '= 0' },
  'features.hedgehog': { w: 'H D 16' },
  'features.t2r': { w: 'H F D' },
  gdn2: { g: '- B T H D', b: '+ B T H D', w: '+ B T H D' },
  gdn2Step: { g: '- B T H D', b: '+ B T H D', w: '+ B T H D' },
  hgrn2: { f: '+ B T H D' },
  hgrn2Step: { f: '+ B T H D' },
  groupedLatentAttention: { ...LATENT, cKv: 'B T 2 C', wUk: 'H C D', wUv: 'H C D' },
  gta: { kv: 'B T H D', kRope: 'B T R' },
  hashAttention: { qPlanes: 'H D 32', kPlanes: 'H D 32', T: 512 },
  hashSignatures: { planes: 'H D 32' },
  hgrn: SCAN,
  hgrnStep: SCAN,
  infLlm: { scores: 'B H T', T: 2048 },
  infLlmBlocks: { scores: 'B H T', T: 2048 },
  kda: { g: '- B T H D' },
  kdaStep: { g: '- B T H D' },
  lact: LACT,
  lactStep: LACT,
  lightnetStep: { z: 'B H D' },
  linformer: { projK: 'F T', projV: 'F T' },
  logCumsumExp: SCAN,
  logLinearAttn: { levelScales: '+ B T H 7' },
  logLinearAttnStep: { levelScales: '+ B T H 7', state: 'B H 7 D D' },
  loki: { sample: 'B T H D', T: 512 },
  lokiBasis: { sample: 'B T H D' },
  lokiKeys: { basis: '= (await lokiBasis({ k }, { r: 16 })).basis' },
  longformer: {
    globalMask: '= rt.tensor(Uint8Array.from({ length: 64 }, (_, i) => Number(i < 2)), [1, 64])',
    qGlobal: 'B T H D',
    kGlobal: 'B T H D',
    vGlobal: 'B T H D',
  },
  lshAttention: { qk: 'B T H D', T: 256 },
  mamba3: MAMBA3,
  mamba3Step: MAMBA3,
  matmul: { x: 'B T D', weights: 'F D', bias: 'F' },
  packMatrix: { weights: 'F D' },
  mergeState: { prefix: '= await attention({ q, k, v })', suffix: '= await attention({ q, k, v })' },
  mesaNet: MESA,
  mesaNetStep: MESA,
  metala: { g: '- B T H D', aug: 'H D' },
  metalaStep: { g: '- B T H D', aug: 'H D' },
  mfa: { cQ: 'B T C', wUq: 'H C D', k: 'B T D', v: 'B T D' },
  mixtureOfHeads: {
    wq: 'H E D',
    x: 'B T E',
    k: 'B T D',
    v: 'B T D',
    wo: 'H D E',
    weights: '+ B T 2',
    indices: 'i B T 2',
  },
  mla: LATENT,
  mlstm: MLSTM,
  mlstmStep: MLSTM,
  mom: { weights: '+ B T 3' },
  momStep: { weights: '+ B T 3', state: 'B 4 H D D' },
  neighborhoodAttention: { q: 'B 16 16 H D', k: 'B 16 16 H D', v: 'B 16 16 H D' },
  nsa: { q: 'B T 16 D', H: 1, gCmp: '+ B T 16', gSlc: '+ B T 16', gSwa: '+ B T 16', T: 1024 },
  pagedAttention: {
    q: 'B 1 H D',
    kCache: '8 16 H D',
    vCache: '8 16 H D',
    blockTable: 'i B 8',
    seqLens: '= rt.tensor(Int32Array.of(100), [1])',
  },
  paroAttention: { T: 4096, H: 2 },
  pathAttn: { w: 'B T H D' },
  performer: { D: 64 },
  performerStep: { state: 'B H 256 D', normalizer: '+ B H 256' },
  precondKda: { g: '- B T H D' },
  precondKdaStep: { g: '- B T H D' },
  dequantizeKv: { k4: "= await quantizeKv({ x: k }, { of: 'keys', bits: 4, axis: 'channel', group: 32 })", D: 64 },
  quantizedAttention: { D: 64 },
  radialAttention: VIDEO,
  rgLru: { ...SCAN, inputGate: '+ B T E', recurrentGate: '+ B T E', recurrentParam: 'E' },
  rgLruStep: { ...SCAN, inputGate: '+ B T E', recurrentGate: '+ B T E', recurrentParam: 'E' },
  joinShard: { T: 96 },
  rodimus: { g: '+ B T H D', tau: '+ B T H D' },
  rodimusStep: { g: '+ B T H D', tau: '+ B T H D' },
  rope: { cached: '= 100' },
  routingAttention: { centroids: 'H 4 D', memK: 'H 4 1 D', memV: 'H 4 1 D', T: 512 },
  rwkv5: { ...RWKV, w: '- H D' },
  rwkv5Step: { ...RWKV, w: '- H D' },
  rwkv6: RWKV,
  rwkv6Step: RWKV,
  rwkv7: RWKV,
  rwkv7Step: RWKV,
  rwkv4: { ...SCAN, k: 'B T E', v: 'B T E', u: 'E' },
  rwkv4Step: { ...SCAN, k: 'B T E', v: 'B T E', u: 'E', num: '0 B E', den: '0 B E', max: '- B E' },
  fftConv: { u: 'B T E', kernel: 'E T', D: 'E' },
  s4Kernel: { ...MODES, P: 'E D 2', B: 'E D 2' },
  s4: { ...MODES, P: 'E D 2', B: 'E D 2' },
  s4d: MODES,
  s4dStep: { ...MODES, table: '= s4dTable({ AReal, AImag, C, logDt }).table' },
  s4dTable: MODES,
  dss: MODES,
  dssStep: MODES,
  seerAttention: { qPre: 'B T H D', kPre: 'B T H D', wq: 'H D D', wk: 'H 48 D', T: 256 },
  topK: { scores: 'B H T T' },
  topP: { weights: '+ B H T T' },
  bitIndices: { scores: 'B H T T', bits: '= (await topK({ scores }, { k: 16 })).bits' },
  selectiveScan: MAMBA,
  selectiveScanStep: MAMBA,
  sla: { proj: 'D D', projBias: 'D', T: 512 },
  slidingTileAttention: { T: 3072, H: 2 },
  gsa: SLOTS,
  gsaStep: SLOTS,
  abc: SLOTS,
  abcStep: SLOTS,
  sparq: { kT: 'B H D T', vMean: 'B H D', q: 'B 1 H D', T: 512 },
  sparseVideoGen: VIDEO,
  sparseVideoGenHeads: VIDEO,
  sparseVideoGen2: { T: 1024 },
  ssd: SSD,
  ssdStep: SSD,
  swinAttention: { q: 'B 14 14 H D', k: 'B 14 14 H D', v: 'B 14 14 H D', biasTable: '169 H' },
  titansLayer: {
    x: 'B T E',
    wq: 'E T',
    wk: 'E T',
    wv: 'E T',
    wo: 'T E',
    mq: 'E T',
    mk: 'E T',
    mv: 'E T',
    gates: 'E 12',
    initialState: '~ B H 2048',
  },
  titansLinearStep: { momentum: '0 B H D D', anchor: 'B H D D' },
  titans: { initialState: 'B H 2048' },
  titansStep: { state: 'B H 2048', momentum: '0 B H 2048', anchor: 'B H 2048' },
  tpa: FACTORS,
  triSolve: { a: 'B D D', b: 'B D D' },
  tttLinearStep: { stateBias: 'B H 1 D', gradient: '0 B H 272' },
  tttMlp: NETWORK,
  tttMlpStep: NETWORK,
  vmoba: { T: 2048 },
  vsa: { T: 2048, gate: '+ B T H D' },
};

/** A tensor of an operand. */
export function operand(rt: Runtime, text: string, axes: Readonly<Record<string, number>>): Tensor {
  const [, kind = '', names] = /^([-+~0i] )?(.*)$/.exec(text)!;
  const shape = names!.split(' ').map((name) => axes[name] ?? Number(name));
  if (shape.some((n) => !Number.isInteger(n))) throw new Error(`operand '${text}' has an axis without a length`);
  const size = shape.reduce((product, n) => product * n, 1);
  if (kind === 'i ') return rt.tensor(new Int32Array(size), shape);
  let seed = 7;
  const random = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed / 2 ** 32;
  };
  const draw = {
    '': () => random() - 0.5,
    '- ': () => -random(),
    '+ ': random,
    '~ ': () => (random() - 0.5) / 10,
    '0 ': () => 0,
  }[kind]!;
  return rt.tensor(Float32Array.from({ length: size }, draw), shape);
}
