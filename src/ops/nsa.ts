/**
 * Native sparse attention.
 *
 * @module
 */
import type { AttentionCall } from '../engines/attention-call.ts';
import { blend } from '../engines/blend.ts';
import { attendBlocks } from '../engines/block-choice.ts';
import { flashAttend } from '../engines/flash.ts';
import { causalBlocks, pastBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { reduceMap } from '../engines/select/reduce-map.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, flag, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attend, attentionCall } from './attention.ts';

/** Operands of `nsa`. */
export interface NsaInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
  /** f32 [B, Tq, Hq]: gate of the compressed branch, which is left out without it. */
  readonly gCmp?: Tensor;
  /** f32 [B, Tq, Hq]: gate of the branch of chosen blocks, likewise. */
  readonly gSlc?: Tensor;
  /** f32 [B, Tq, Hq]: gate of the sliding window, likewise; goes with windowSize. */
  readonly gSwa?: Tensor;
  /** `[B, ceil(Tk / blockSize), Hkv, D]`: compressed keys. Default: the means of blocks of k. */
  readonly kCmp?: Tensor;
  /** `[B, ceil(Tk / blockSize), Hkv, Dv]`: compressed values. Default: the means of blocks of v. */
  readonly vCmp?: Tensor;
}

/** Options of `nsa`. */
export interface NsaOptions {
  /** Keys of a block. Default 64. */
  readonly blockSize?: number;
  /** Blocks of each query and key/value head. Default 16. */
  readonly blockCounts?: number;
  /** Keys of the sliding window, the query's own counted. Default 0: no window. */
  readonly windowSize?: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether the chosen blocks are a result too. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `nsa`. */
export interface NsaResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** i32 [B, Hkv, Tq, ceil(blocks / 32)]: bit c (word c >> 5, bit c & 31) of a query shows it block c; with `returnSelection`. */
  readonly selection?: Tensor;
}

const OP = 'nsa';

/** Checks what `attentionCall` does not know. */
function checkNsa({ q, k, v }: AttentionCall, inputs: NsaInputs, block: number): void {
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const { gCmp, gSlc, gSwa, kCmp, vCmp } = inputs;
  const gate = `?${B} ${Tq} ${Hq}`;
  const blocks = Math.ceil(k.shape[1]! / block);
  matchShapes(
    OP,
    { gCmp, gSlc, gSwa, kCmp, vCmp },
    {
      gCmp: gate,
      gSlc: gate,
      gSwa: gate,
      kCmp: `?${B} ${blocks} ${k.shape[2]} ${D}`,
      vCmp: `?${B} ${blocks} ${k.shape[2]} ${v.shape[3]}`,
    },
  );
  expectTypes(OP, { gCmp, gSlc, gSwa }, ['f32']);
  expectTypes(OP, { kCmp, vCmp }, ['f32', 'f16', 'bf16']);
  expectContiguous(OP, { gCmp, gSlc, gSwa });
  expectRows(OP, { kCmp, vCmp });
  if (!gCmp && !gSlc && !gSwa) {
    throw new OptionError(
      `${OP}: there is no gate, expected gCmp, gSlc or gSwa: a branch without its gate is left out`,
    );
  }
}

/** Blocks of each query and key/value head, by the softmax over compressed keys. */
function chooseBlocks(b: Builder, { q, k, scale }: AttentionCall, kCmp: Tensor, block: number, count: number): Tensor {
  const past = pastBlocks(q, k, block);
  const map = softmaxMap(b, scoreMap(b, { q, k: kCmp, scale, visible: past }), { visible: past });
  const importance = reduceMap(b, map, { heads: q.shape[2]! / k.shape[2]! }, 'mean');
  return selectTopK(b, importance, {
    k: count,
    visible: causalBlocks({ Tq: q.shape[1]!, Tk: k.shape[1]!, queryBlock: 1, keyBlock: block }),
    first: 1,
    last: 2,
  });
}

/** Adds o = attention on compressed keys, each seen from the last token of its block on. */
function attendCompressed(b: Builder, call: AttentionCall, k: Tensor, v: Tensor, o: Tensor, block: number): void {
  const Tq = call.q.shape[1]!;
  const blocks = k.shape[1]!;
  const offset = call.k.shape[1]! - Tq;
  const positions = {
    q: b.constant(
      Int32Array.from({ length: Tq }, (_, i) => i + offset),
      [1, Tq],
    ),
    k: b.constant(
      Int32Array.from({ length: blocks }, (_, c) => (c + 1) * block - 1),
      [1, blocks],
    ),
  };
  const sequences = call.sequences.map((span) => ({ ...span, kLength: blocks, offset: blocks - Tq }));
  flashAttend(b, { ...call, k, v, o, lse: undefined, sequences }, { positions });
}

/** Lays out the call. */
export function planNsa(b: Builder, inputs: NsaInputs, options: NsaOptions): NsaResult {
  const names = ['q', 'k', 'v', 'gCmp', 'gSlc', 'gSwa', 'kCmp', 'vCmp'];
  expectNames(OP, 'input', inputs, names);
  expectNames(OP, 'option', options, ['blockSize', 'blockCounts', 'windowSize', 'scale', 'returnSelection']);
  const { q, k, v, gCmp, gSlc, gSwa } = inputs;
  const call = attentionCall(b, OP, { q, k, v }, { causal: true, scale: options.scale });
  b.drop(call.lse);
  const block = whole(OP, 'blockSize', options.blockSize, 64, 1);
  const count = whole(OP, 'blockCounts', options.blockCounts, 16, 1);
  const window = whole(OP, 'windowSize', options.windowSize, 0, 0);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  checkNsa(call, inputs, block);
  if ((gSwa !== undefined) !== window > 0) {
    throw new OptionError(
      `${OP}: windowSize is ${window} and gSwa is ${gSwa ? 'given' : 'missing'}; the window needs both or none`,
    );
  }
  const kCmp = inputs.kCmp ?? poolBlocks(b, k, block, 'mean');
  const bits = gSlc || keep ? chooseBlocks(b, call, kCmp, block, count) : undefined;
  let open = false;
  const branch = (gate: Tensor, attend: (to: AttentionCall) => void) => {
    const x = open ? b.temporary(call.o.shape) : call.o;
    attend({ ...call, o: x, lse: undefined });
    blend(b, x, call.o, { gate, add: open });
    open = true;
  };
  if (gSlc) {
    // block 0, the own one and the one before are chosen in any case
    const choice = { bits: bits!, keyBlock: block, count: Math.max(3, count) };
    branch(gSlc, (to) => attendBlocks(b, to, choice));
  }
  if (gCmp) {
    const vCmp = inputs.vCmp ?? poolBlocks(b, v, block, 'mean');
    branch(gCmp, (to) => attendCompressed(b, to, kCmp, vCmp, to.o, block));
  }
  if (gSwa) branch(gSwa, (to) => attend(b, { ...to, window: [window - 1, 0] }));
  return { o: call.o, ...(keep && { selection: b.keep(bits!) }) };
}

/**
 * Causal attention by three branches and their gates: on compressed keys, on chosen blocks of keys, and on a sliding window. Each
 * query and key/value head chooses block 0, its own block, the one before, and those to which the compressed branch, averaged over the
 * heads of the group, gives the most weight. Queries are aligned with the last keys.
 *
 * Source: Native Sparse Attention (Yuan 2025); reference implementation fla, naive_nsa.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await nsa({ q, k, v, gCmp, gSlc, gSwa }, { blockSize: 64, blockCounts: 16, windowSize: 512 })
 */
export function nsa(inputs: NsaInputs, options: NsaOptions = {}): Promise<NsaResult> {
  return run(OP, inputs, (b) => planNsa(b, inputs, options));
}

/** As `nsa`, to the end before it returns. */
export function nsaSync(inputs: NsaInputs, options: NsaOptions = {}): NsaResult {
  return runSync(OP, inputs, (b) => planNsa(b, inputs, options));
}
