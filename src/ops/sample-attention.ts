/**
 * SampleAttention: a window, and the columns that sampled queries weigh most.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import { attendColumns } from '../engines/gathered-columns.ts';
import { selectIndices } from '../engines/select/bits.ts';
import { selectTopP } from '../engines/select/choose.ts';
import { weightSums } from '../engines/select/weight-sums.ts';
import { expectNames, finite, flag } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';
import type { ChosenInputs, ChosenOptions } from './chosen-blocks.ts';

/** Options of `sampleAttention`. */
export interface SampleAttentionOptions extends ChosenOptions {
  /** Keys of the window as a share of all: the query's own and those right before it, one at least. Default 0.08. */
  readonly window?: number;
  /** Share of the queries that are sampled: every so many, counted from the last backwards. Default 0.05. */
  readonly sample?: number;
  /** Share of the sampled weights that the chosen columns hold. Default 0.95. */
  readonly coverage?: number;
}

/** Results of `sampleAttention`. */
export interface SampleAttentionResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq]: natural log of the row's denominator over the chosen keys. */
  readonly lse: Tensor;
  /** i32 [B, Hq, 1, words], with `returnSelection`: bit j & 31 of word j >> 5 shows key j to the queries behind it. */
  readonly selection?: Tensor;
}

const OP = 'sampleAttention';

/** Lays out the call. */
export function planSampleAttention(
  b: Builder,
  inputs: ChosenInputs,
  options: SampleAttentionOptions,
): SampleAttentionResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  expectNames(OP, 'option', options, ['window', 'sample', 'coverage', 'scale', 'returnSelection']);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  const { scale } = options;
  const call = attentionCall(b, OP, inputs, { causal: true, ...(scale !== undefined && { scale }) });
  const { q, k } = call;
  const [batch, Tq, heads, d] = q.shape as [number, number, number, number];
  const Tk = k.shape[1]!;
  const window = finite(OP, 'window', options.window, 0.08, 0, 1);
  const sample = finite(OP, 'sample', options.sample, 0.05, 0, 1);
  if (sample === 0) throw new OptionError(`${OP}: sample is 0, expected a share above 0 of the queries`);
  const coverage = finite(OP, 'coverage', options.coverage, 0.95, 0, 1);
  const width = Math.max(1, Math.ceil(window * Tk));
  flashAttend(b, { ...call, window: [width - 1, 0] });
  if (q.size === 0 || k.size === 0) {
    const none = b.temporary([batch, heads, 1, Math.ceil(Tk / 32)], 'i32');
    none.write(new Int32Array(none.size));
    return { o: call.o, lse: call.lse, ...(keep && { selection: b.keep(none) }) };
  }

  const step = Math.max(1, Math.round(1 / sample));
  const count = Math.ceil(Tq / step);
  const first = Tq - 1 - (count - 1) * step;
  const [strideB, strideT, strideH] = q.strides as [number, number, number];
  const sampled = q.slice(1, first, Tq).restride([batch, count, heads, d], [strideB, step * strideT, strideH, 1]);
  const { columns: sums } = weightSums(b, {
    q: sampled,
    k,
    scale: call.scale,
    visible: { mul: step, add: first + Tk - Tq + 1, div: 1 },
    rowGroup: count,
  });
  const bits = selectTopP(b, sums, { p: coverage });
  // keys closer than the window are seen in it
  attendColumns(b, call, { ...selectIndices(b, bits, Tk), shifts: new Array(heads).fill(width) });
  return { o: call.o, lse: call.lse, ...(keep && { selection: b.keep(bits) }) };
}

/**
 * Causal softmax attention over a window of a share of the keys, and over single columns: the fewest whose sums over the softmax weights
 * of sampled queries hold `coverage` of all. A head may choose any number of columns, so room is made for copies of all keys and values
 * by query head.
 *
 * Source: SampleAttention (Zhu 2024).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @throws MemoryLimitError if the outputs or temporaries do not fit.
 * @example const { o } = await sampleAttention({ q, k, v }, { window: 0.08, coverage: 0.95 })
 */
export function sampleAttention(
  inputs: ChosenInputs,
  options: SampleAttentionOptions = {},
): Promise<SampleAttentionResult> {
  return run(OP, inputs, (b) => planSampleAttention(b, inputs, options));
}

/** As `sampleAttention`, to the end before it returns. */
export function sampleAttentionSync(inputs: ChosenInputs, options: SampleAttentionOptions = {}): SampleAttentionResult {
  return runSync(OP, inputs, (b) => planSampleAttention(b, inputs, options));
}
