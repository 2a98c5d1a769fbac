/**
 * LSH attention of the Reformer.
 *
 * @module
 */
import { asFloats, copyIntegers } from '../engines/copy.ts';
import { projectionRows } from '../engines/favor-projection.ts';
import { l2norm } from '../engines/features.ts';
import { flashAttend } from '../engines/flash.ts';
import { hashRounds } from '../engines/hash-rounds.ts';
import { lshBuckets } from '../engines/select/hash.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  finite,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';

/** Operands of `lshAttention`. */
export interface LshAttentionInputs {
  /** `[B, T, H, D]`: queries, whose directions are the keys; f32, f16 or bf16. */
  readonly qk: Tensor;
  /** [B, T, H, Dv]; likewise. */
  readonly v: Tensor;
  /** f32 [H|1, D, numHashes, numBuckets / 2]: random directions, each of which and its opposite is a bucket. Default: normal ones by `seed`, shared by the heads. */
  readonly rotations?: Tensor;
}

/** Options of `lshAttention`. */
export interface LshAttentionOptions {
  /** Tokens of a chunk. Default 64. */
  readonly chunkLength?: number;
  /** Rounds of hashing. Default that of rotations, else 1. */
  readonly numHashes?: number;
  /** Buckets, an even number. Default that of rotations, else the power of two at or below twice the number of chunks. */
  readonly numBuckets?: number;
  /** Chunks before a query's own whose keys it sees. Default 1. */
  readonly chunksBefore?: number;
  /** Chunks after its own. Default 0. */
  readonly chunksAfter?: number;
  /** Token i sees token j only if j <= i. Default false. */
  readonly causal?: boolean;
  /** Factor on q k. Default 1. */
  readonly scale?: number;
  /** The score of a token with itself. Default -1e5: seen only where nothing else is. */
  readonly selfScore?: number;
  /** Chooses the rotations where none are given, a whole number from 0 to 2^32 - 1. Default 0. */
  readonly seed?: number;
  /** Whether to return `buckets`. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `lshAttention`. */
export interface LshAttentionResult {
  /** f32 [B, T, H, Dv] */
  readonly o: Tensor;
  /** i32 [B, H, numHashes, T], with returnSelection: the bucket of each token in each round. */
  readonly buckets?: Tensor;
}

const OP = 'lshAttention';
const OPTIONS = [
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
];

/** Normal directions f32 [1, D, rounds, directions] by a seed. */
function ownRotations(b: Builder, d: number, rounds: number, directions: number, seed: number): Tensor {
  const rows = projectionRows(rounds * directions, d, { seed, orthogonal: false });
  const tensor = b.temporary([1, d, rounds, directions]);
  const turned = new Float32Array(rows.length);
  for (let n = 0; n < rows.length; ++n) turned[(n % d) * rounds * directions + Math.floor(n / d)] = rows[n]!;
  tensor.write(turned);
  return tensor;
}

/** Lays out the call. */
export function planLsh(b: Builder, inputs: LshAttentionInputs, options: LshAttentionOptions): LshAttentionResult {
  expectNames(OP, 'input', inputs, ['qk', 'v', 'rotations']);
  expectNames(OP, 'option', options, OPTIONS);
  const { qk, v, rotations } = inputs;
  const sizes = matchShapes<keyof LshAttentionInputs>(
    OP,
    { ...inputs },
    { qk: 'B T H D', v: 'B T H Dv', rotations: '?H|1 D rounds half' },
  ) as Record<'B' | 'T' | 'H' | 'D', number> & { rounds?: number; half?: number };
  const { B, T, H, D } = sizes;
  expectTypes(OP, { qk, v }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { rotations }, ['f32']);
  expectRows(OP, { qk, v });
  expectContiguous(OP, { rotations });
  const chunk = whole(OP, 'chunkLength', options.chunkLength, 64, 1);
  const before = whole(OP, 'chunksBefore', options.chunksBefore, 1, 0, 2 ** 16);
  const after = whole(OP, 'chunksAfter', options.chunksAfter, 0, 0, 2 ** 16);
  const rounds = whole(OP, 'numHashes', options.numHashes, sizes.rounds ?? 1, 1, 2 ** 16);
  const usual = 2 ** Math.max(1, Math.floor(Math.log2(Math.max(1, 2 * Math.floor(T / chunk)))));
  const buckets = whole(OP, 'numBuckets', options.numBuckets, sizes.half === undefined ? usual : 2 * sizes.half, 2);
  if (buckets % 2 !== 0) {
    throw new OptionError(
      `${OP}: numBuckets is ${buckets}, expected an even number: a direction and its opposite each are one`,
    );
  }
  if (rotations && (rounds !== sizes.rounds || buckets !== 2 * sizes.half!)) {
    throw new ShapeError(
      `${OP}: rotations has shape [${rotations.shape}], expected [${H} or 1, ${D}, ${rounds}, ${buckets / 2}] for ` +
        `numHashes = ${rounds} and numBuckets = ${buckets}`,
    );
  }
  const { causal = false, returnSelection = false } = options;
  for (const [name, value] of Object.entries({ causal, returnSelection })) {
    if (typeof value !== 'boolean') throw new OptionError(`${OP}: ${name} is ${value}, expected true or false`);
  }
  const seed = whole(OP, 'seed', options.seed, 0, 0, 2 ** 32 - 1);
  const scale = finite(OP, 'scale', options.scale, 1);
  const selfScore = finite(OP, 'selfScore', options.selfScore, -1e5);
  const q = asFloats(b, qk);
  const k = l2norm(b, q, { eps: 0 });
  // one chunk holds every token: no round leaves any out, or adds any but all of them again
  const alone = T <= chunk;
  let labels: Tensor | undefined;
  if (!alone || returnSelection) {
    labels = lshBuckets(b, q, rotations ?? ownRotations(b, D, rounds, buckets / 2, seed));
  }
  let o: Tensor;
  if (alone) {
    const call = attentionCall(b, OP, { q, k, v }, { causal, scale });
    b.drop(call.lse);
    flashAttend(b, { ...call, lse: undefined }, { selfScore });
    o = call.o;
  } else {
    o = b.output([B, T, H, v.shape[3]!]);
    const places = { rounds, chunk, before, after };
    hashRounds(b, { q, k, v, buckets: labels!, count: buckets, ...places, causal, scale, selfScore, o });
    b.note(() => {
      const seen = rounds * Math.min(T, chunk) * (1 + before + after);
      return `${rounds} rounds of ${buckets} buckets: a token is compared with at most ${seen} of ${T}, in chunks of ${chunk}`;
    });
  }
  if (!returnSelection) return { o };
  const kept = b.output([B, H, rounds, T], 'i32');
  copyIntegers(b, labels!, kept.reshape([B, H * rounds, T]));
  return { o, buckets: kept };
}

/**
 * Attention of tokens that random directions put into one bucket: in each round tokens are sorted by bucket, and each sees those of its own
 * chunk of the order and of the chunks before and after. Keys are the queries' directions qk / |qk|. The chunks of all rounds form one
 * ring: the first sees the last; what is seen twice counts twice; rounds are weighted by their denominators.
 *
 * A last chunk may be shorter where chunkLength does not divide T; where it is at least T every token sees all.
 *
 * Source: Reformer (Kitaev 2020); reference implementation transformers, LSHSelfAttention. With scale D^-1/2 and selfScore -5e4 as in
 * lucidrains, reformer-pytorch.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await lshAttention({ qk, v }, { numHashes: 4, causal: true })
 */
export function lshAttention(
  inputs: LshAttentionInputs,
  options: LshAttentionOptions = {},
): Promise<LshAttentionResult> {
  return run(OP, inputs, (b) => planLsh(b, inputs, options));
}

/** As `lshAttention`, to the end before it returns. */
export function lshAttentionSync(inputs: LshAttentionInputs, options: LshAttentionOptions = {}): LshAttentionResult {
  return runSync(OP, inputs, (b) => planLsh(b, inputs, options));
}
