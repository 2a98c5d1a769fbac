/**
 * Clustered head attention: heads whose attention is alike share one softmax.
 *
 * @module
 */
import { expectAttention } from '../engines/cache-operands.ts';
import { copyRows } from '../engines/copy.ts';
import { headClusters, headGroups, sideBySide } from '../engines/head-clusters.ts';
import { expectNames, finite, flag, integers, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attend } from './attention.ts';

/** Operands of `chai`. */
export interface ChaiInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
  /** i32 [B or 1, Hq]: the head whose softmax each head takes, as `chaiClusters` gives it. */
  readonly clusters: Tensor;
}

/** Options of `chai`. */
export interface ChaiOptions {
  /** Row i sees key j only if j <= i + Tk - Tq. Default false. */
  readonly causal?: boolean;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

/** Operands of `chaiClusters`. */
export interface ChaiClustersInputs {
  /** [B, T, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, T, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
}

/** Options of `chaiClusters`. */
export interface ChaiClustersOptions {
  /** Clusters that are left, from 1 to Hq. */
  readonly clusters: number;
  /** First tokens whose softmax rows are compared, at most T. Default 5. */
  readonly tokens?: number;
  /** Whether those tokens see none that come later. Default false, as the authors' code has it. */
  readonly causal?: boolean;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

/** Lays out the call. */
export function planChaiClusters(
  b: Builder,
  inputs: ChaiClustersInputs,
  options: ChaiClustersOptions,
): { clusters: Tensor } {
  const op = 'chaiClusters';
  expectNames(op, 'input', inputs, ['q', 'k']);
  expectNames(op, 'option', options, ['clusters', 'tokens', 'causal', 'scale']);
  const { q, k } = inputs;
  const { B, T, Hq, D } = expectAttention(op, { q, k, v: k });
  const clusters = whole(op, 'clusters', options.clusters ?? Number.NaN, 1, 1, Hq);
  const tokens = Math.min(T, whole(op, 'tokens', options.tokens, 5, 1));
  const scale = finite(op, 'scale', options.scale, D ** -0.5);
  if (T === 0) throw new ShapeError(`${op}: q has shape [${q.shape}], expected at least one token to compare heads by`);
  const labels = b.output([B, Hq], 'i32');
  headClusters(b, { q, k, scale, clusters, tokens, causal: flag(op, 'causal', options.causal) }, labels);
  return { clusters: labels };
}

/** Labels of the heads, one row for each batch entry. @throws ShapeError, OptionError if they do not name heads that lead themselves. */
function labelsOf(op: string, clusters: Tensor, batch: number, heads: number): Int32Array[] {
  matchShapes(op, { clusters }, { clusters: `${batch}|1 ${heads}` });
  const all = integers(op, 'clusters', clusters);
  const rows = Array.from({ length: clusters.shape[0]! }, (_, b) => all.subarray(b * heads, (b + 1) * heads));
  for (const row of rows) {
    for (const [h, first] of row.entries()) {
      if (row[first] !== first) {
        throw new OptionError(
          `${op}: clusters gives head ${h} the softmax of head ${first}, expected one of ${heads} heads that has its own. ` +
            'Pass what chaiClusters gives.',
        );
      }
    }
  }
  return Array.from({ length: batch }, (_, b) => rows[Math.min(b, rows.length - 1)]!);
}

/** Lays out the call. */
export function planChai(b: Builder, inputs: ChaiInputs, options: ChaiOptions): { o: Tensor } {
  const op = 'chai';
  expectNames(op, 'input', inputs, ['q', 'k', 'v', 'clusters']);
  expectNames(op, 'option', options, ['causal', 'scale']);
  const { q, k, v, clusters } = inputs;
  const { B, T: Tq, Tk, Hq, Hkv, D, Dv } = expectAttention(op, { q, k, v }, 'Tk');
  const labels = labelsOf(op, clusters, B, Hq);
  const scale = finite(op, 'scale', options.scale, D ** -0.5);
  const window = [-1, flag(op, 'causal', options.causal) ? 0 : -1] as const;
  const o = b.output([B, Tq, Hq, Dv]);
  const sequences = [{ batch: 0, qStart: 0, qLength: Tq, kStart: 0, kLength: Tk, offset: Tk - Tq }];
  const group = Hq / Hkv;
  for (let batch = 0; batch < B; ++batch) {
    const one = (x: Tensor) => x.slice(0, batch, batch + 1);
    const head = (x: Tensor, h: number) => one(x).slice(2, h, h + 1);
    for (const { first, members } of headGroups(labels[batch]!, Dv)) {
      b.reusing(() => {
        const n = members.length;
        const inARow = members[n - 1]! - members[0]! === n - 1;
        const values =
          (inARow && group === 1 ? sideBySide(one(v), members[0]!, n) : undefined) ?? b.temporary([1, Tk, 1, n * Dv]);
        if (values.block !== v.block) {
          members.forEach((h, i) => {
            copyRows(b, head(v, Math.floor(h / group)), values.slice(3, i * Dv, (i + 1) * Dv));
          });
        }
        const direct = inARow ? sideBySide(one(o), members[0]!, n) : undefined;
        const to = direct ?? b.temporary([1, Tq, 1, n * Dv]);
        const kHead = head(k, Math.floor(first / group));
        attend(b, { q: head(q, first), k: kHead, v: values, o: to, sequences, scale, softcap: 0, window });
        if (direct) return;
        members.forEach((h, i) => {
          copyRows(b, to.slice(3, i * Dv, (i + 1) * Dv), head(o, h));
        });
      });
    }
  }
  b.note(() => `${new Set(labels[0]).size} softmaxes for ${Hq} heads`);
  return { o };
}

/**
 * Which heads attend alike: softmax rows of the first tokens are compared by their cosine, and the two clusters whose heads are nearest on
 * average joined until `clusters` are left. This agglomerative clustering, not k-means, is what the authors' code runs; it needs no start
 * and no seed, so that the same prompt gives the same clusters. Of equal distances the first heads are joined.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D]; clusters i32 [B, Hq], the first head of each head's cluster.
 * Source: CHAI, Agarwal 2024; reference implementation facebookresearch/chai.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { clusters } = await chaiClusters({ q, k }, { clusters: 8 })
 */
export function chaiClusters(inputs: ChaiClustersInputs, options: ChaiClustersOptions): Promise<{ clusters: Tensor }> {
  return run('chaiClusters', inputs, (b) => planChaiClusters(b, inputs, options));
}

/** As `chaiClusters`, to the end before it returns. */
export function chaiClustersSync(inputs: ChaiClustersInputs, options: ChaiClustersOptions): { clusters: Tensor } {
  return runSync('chaiClusters', inputs, (b) => planChaiClusters(b, inputs, options));
}

/**
 * Attention whose heads take the softmax of their cluster's first head: o_h = softmax(scale q_r k_r) v_h, r = clusters_h. A cluster's
 * products of queries and keys are made once; values stay each head's own. The host reads the clusters. Values of a cluster that do not
 * lie side by side are copied first, which for few queries costs as much as attention: a ChaiLayer keeps them side by side.
 *
 * Shapes: q [B, Tq, Hq, D], k [B, Tk, Hkv, D], v [B, Tk, Hkv, Dv], clusters i32 [B or 1, Hq]; o f32 [B, Tq, Hq, Dv].
 * Source: CHAI, Agarwal 2024; reference implementation facebookresearch/chai.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await chai({ q, k, v, clusters }, { causal: true })
 */
export function chai(inputs: ChaiInputs, options: ChaiOptions = {}): Promise<{ o: Tensor }> {
  return run('chai', inputs, (b) => planChai(b, inputs, options));
}

/** As `chai`, to the end before it returns. */
export function chaiSync(inputs: ChaiInputs, options: ChaiOptions = {}): { o: Tensor } {
  return runSync('chai', inputs, (b) => planChai(b, inputs, options));
}
