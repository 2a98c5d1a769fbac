/**
 * Patterns by the distance and the place of tokens.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import type { Pattern } from '../pattern.ts';
import { needed } from './checks.ts';

/**
 * Whether only keys up to the query's own are left.
 *
 * @inline
 */
interface Causal {
  /** Default false. */
  readonly causal?: boolean;
}

/** The first `count` keys. */
export function sinks(count = 4): Pattern {
  needed('sinks', 'count', count, 0);
  return {
    name: `${count} sinks`,
    key: `sinks ${count}`,
    visible: (_, j) => j < count,
    runs: (_i, _at, add) => add(0, count),
  };
}

/** The first `sinks` keys and the last `window`, the query's own counted (StreamingLLM, Xiao 2023). */
export function streamingLlm({ sinks = 4, window }: { readonly sinks?: number; readonly window: number }): Pattern {
  needed('streamingLlm', 'sinks', sinks, 0);
  needed('streamingLlm', 'window', window, 1);
  return {
    name: `${sinks} sinks and the last ${window}`,
    key: `streaming ${sinks} ${window}`,
    visible: (i, j) => j <= i && (j < sinks || i - j < window),
    runs: (i, _, add) => {
      add(0, Math.min(sinks, i + 1));
      add(i - window + 1, i + 1);
    },
  };
}

/** Every `dilation`-th key, `window` of them to each side, the query's own counted. */
export function dilated(options: Causal & { readonly window: number; readonly dilation?: number }): Pattern {
  const { window, dilation = 1, causal = false } = options;
  needed('dilated', 'window', window, 1);
  needed('dilated', 'dilation', dilation, 1);
  return {
    name: `${window} keys, every ${dilation}th`,
    key: `dilated ${window} ${dilation} ${causal}`,
    visible: (i, j) => {
      const distance = causal ? i - j : Math.abs(i - j);
      return distance >= 0 && distance % dilation === 0 && distance / dilation < window;
    },
    runs: (i, { Tk }, add) => {
      const last = causal ? i : Math.min(Tk - 1, i + (window - 1) * dilation);
      for (let j = i - (window - 1) * dilation; j <= last; j += dilation) add(j, j + 1);
    },
  };
}

/** Keys nearer than `stride`, and every stride-th one (Sparse Transformer, Child 2019). */
export function strided({ stride, causal = false }: Causal & { readonly stride: number }): Pattern {
  needed('strided', 'stride', stride, 1);
  return {
    name: `stride ${stride}`,
    key: `strided ${stride} ${causal}`,
    visible: (i, j) => (!causal || j <= i) && (Math.abs(i - j) < stride || (i - j) % stride === 0),
    runs: (i, { Tk }, add) => {
      add(i - stride + 1, causal ? i + 1 : i + stride);
      const last = causal ? i : Tk - 1;
      for (let j = ((i % stride) + stride) % stride; j <= last; j += stride) add(j, j + 1);
    },
  };
}

/** Keys of the query's own block, and the last `summary` of every block (Sparse Transformer, Child 2019). */
export function fixed(options: Causal & { readonly stride: number; readonly summary: number }): Pattern {
  const { stride, summary, causal = false } = options;
  needed('fixed', 'stride', stride, 1);
  needed('fixed', 'summary', summary, 0);
  if (summary > stride) throw new OptionError(`fixed: summary is ${summary}, expected at most the stride of ${stride}`);
  return {
    name: `blocks of ${stride}, ${summary} of each for all`,
    key: `fixed ${stride} ${summary} ${causal}`,
    visible: (i, j) =>
      (!causal || j <= i) && (Math.floor(i / stride) === Math.floor(j / stride) || j % stride >= stride - summary),
    runs: (i, { Tk }, add) => {
      const end = causal ? Math.min(Tk, i + 1) : Tk;
      const own = Math.floor(i / stride) * stride;
      add(own, Math.min(end, own + stride));
      for (let j = stride - summary; j < end && summary > 0; j += stride) add(j, Math.min(end, j + summary));
    },
  };
}

/** Keys at distances below `window` and at powers of two (LogSparse Transformer, Li 2019). */
export function logsparse({ window = 1, causal = false }: Causal & { readonly window?: number } = {}): Pattern {
  needed('logsparse', 'window', window, 1);
  return {
    name: `powers of two and the last ${window}`,
    key: `logsparse ${window} ${causal}`,
    visible: (i, j) => {
      const distance = Math.abs(i - j);
      return (!causal || j <= i) && (distance < window || (distance & (distance - 1)) === 0);
    },
    runs: (i, { Tk }, add) => {
      add(i - window + 1, causal ? i + 1 : i + window);
      for (let step = 1; step <= i; step *= 2) add(i - step, i - step + 1);
      for (let step = 1; !causal && i + step < Tk; step *= 2) add(i + step, i + step + 1);
    },
  };
}

/** Query block b sees key block permutation[h][b] (BlockBERT, Qiu 2019), or its own. */
export function blockwise(
  options: Causal & { readonly blockSize: number; readonly permutation?: readonly ArrayLike<number>[] },
): Pattern {
  const { blockSize, permutation, causal = false } = options;
  needed('blockwise', 'blockSize', blockSize, 1);
  const seen = (block: number, head: number) => (permutation ? permutation[head % permutation.length]![block] : block);
  return {
    name: `blocks of ${blockSize}`,
    key: `blockwise ${blockSize} ${causal} ${permutation?.map((blocks) => Array.from(blocks)).join(';')}`,
    perHead: permutation !== undefined && permutation.length > 1,
    visible: (i, j, { head }) =>
      (!causal || j <= i) && Math.floor(j / blockSize) === seen(Math.floor(i / blockSize), head),
    runs: (i, { head }, add) => {
      const block = seen(Math.floor(i / blockSize), head);
      if (block === undefined) return;
      const end = (block + 1) * blockSize;
      add(block * blockSize, causal ? Math.min(end, i + 1) : end);
    },
  };
}
