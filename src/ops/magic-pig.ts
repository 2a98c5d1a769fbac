/**
 * MagicPIG: tokens sampled by tables of hashes, and weighed by how likely that was.
 *
 * @module
 */
import { normalFrom } from '../engines/favor-projection.ts';
import { indexAttend } from '../engines/index-attention.ts';
import { selectIndices } from '../engines/select/bits.ts';
import { selectAbove } from '../engines/select/choose.ts';
import { centreRows, collisionScores, samplingBias } from '../engines/select/collisions.ts';
import { simHash } from '../engines/select/hash.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { uniformFrom } from '../engines/uniform.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import {
  type ChosenTokenInputs,
  type ChosenTokenResult,
  openChoice,
  SINKS,
  type SinkOptions,
} from './chosen-tokens.ts';

/** Operands of `magicPig`. */
export interface MagicPigInputs extends ChosenTokenInputs {
  /** f32 [D, tables, bits], contiguous: random directions, as `magicPigTables` draws them; at most 32 bits. */
  readonly planes: Tensor;
  /** i32 [B, Hkv * tables, Tk]: hashes of the centred keys. Made of k if absent. */
  readonly hashes?: Tensor;
  /** f32 [B, Hkv, D], contiguous: what keys are centred by; goes with hashes. Default the mean of all keys. */
  readonly mean?: Tensor;
}

/** Options of `magicPig`: those of a choice, but no topk. */
export type MagicPigOptions = Omit<SinkOptions, 'topk'>;

/** Operands of `magicPigTables`. */
export interface MagicPigTablesInputs {
  /** [B, Tk, Hkv, D]; f32, f16 or bf16. */
  readonly k: Tensor;
}

/** Options of `magicPigTables`. */
export interface MagicPigTablesOptions {
  /** Tables, at least 2. Default 75. */
  readonly tables?: number;
  /** Bits of a hash, from 1 to 32. Default 8. */
  readonly bits?: number;
  /** Chooses the directions, a whole number from 0 to 2^32 - 1. Default 0. */
  readonly seed?: number;
}

/** Results of `magicPigTables`. */
export interface MagicPigTablesResult {
  /** f32 [D, tables, bits] */
  readonly planes: Tensor;
  /** i32 [B, Hkv * tables, Tk] */
  readonly hashes: Tensor;
  /** f32 [B, Hkv, D] */
  readonly mean: Tensor;
}

const OP = 'magicPig';
const TABLES = 'magicPigTables';
/** Tables that a sampled key shares with the query: half below two. */
const COLLISIONS = 1.5;

/** Hashes of rows [B, T, H, D] in all tables. */
function hashesOf(b: Builder, x: Tensor, planes: Tensor): Tensor {
  return simHash(b, x, planes.reshape([1, ...planes.shape]));
}

/** Adds the mean f32 [B, 1, Hkv, D] of keys. */
function meanKey(b: Builder, k: Tensor): Tensor {
  return poolBlocks(b, k, Math.max(1, k.shape[1]!), 'mean');
}

/** Lays out the tables. */
export function planMagicPigTables(
  b: Builder,
  inputs: MagicPigTablesInputs,
  options: MagicPigTablesOptions,
): MagicPigTablesResult {
  expectNames(TABLES, 'input', inputs, ['k']);
  expectNames(TABLES, 'option', options, ['tables', 'bits', 'seed']);
  const { k } = inputs;
  const sizes = matchShapes(TABLES, { k }, { k: 'B Tk Hkv D' }) as Record<'B' | 'Tk' | 'Hkv' | 'D', number>;
  const { B, Tk, Hkv, D } = sizes;
  expectTypes(TABLES, { k }, ['f32', 'f16', 'bf16']);
  expectRows(TABLES, { k });
  if (Tk === 0) throw new ShapeError(`${TABLES}: k has shape [${k.shape}], expected at least one key`);
  const tables = whole(TABLES, 'tables', options.tables, 75, 2);
  const bits = whole(TABLES, 'bits', options.bits, 8, 1, 32);
  const seed = whole(TABLES, 'seed', options.seed, 0, 0, 2 ** 32 - 1);
  const planes = b.output([D, tables, bits]);
  const normal = normalFrom(uniformFrom(seed));
  planes.write(Float32Array.from({ length: planes.size }, normal));
  const mean = b.keep(meanKey(b, k));
  const hashes = b.keep(hashesOf(b, centreRows(b, k, mean), planes));
  return { planes, hashes, mean: mean.reshape([B, Hkv, D]) };
}

/** Lays out the call. */
export function planMagicPig(b: Builder, inputs: MagicPigInputs, options: MagicPigOptions): ChosenTokenResult {
  const own = { inputs: ['planes', 'hashes', 'mean'], options: SINKS, topk: 0 };
  if ('topk' in options)
    throw new OptionError(`${OP} has no option 'topk': how many tokens are taken is the tables' affair`);
  const open = openChoice(b, OP, inputs, options as SinkOptions, own);
  const { call, visible, sinks, recent, keep } = open;
  const { q, k, v } = call;
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  const [B, Tk, Hkv, D] = k.shape as [number, number, number, number];
  const { planes, hashes: given, mean: givenMean } = inputs;
  const { tables, bits } = matchShapes(OP, { planes }, { planes: `${D} tables bits` }) as {
    tables: number;
    bits: number;
  };
  if (tables < 2 || bits < 1 || bits > 32) {
    throw new ShapeError(`${OP}: planes has shape [${planes.shape}], expected at least 2 tables of 1 to 32 bits`);
  }
  if (!given !== !givenMean)
    throw new OptionError(`${OP}: hashes and mean go together: hashes are those of centred keys`);
  matchShapes(
    OP,
    { hashes: given, mean: givenMean },
    { hashes: `?${B} ${Hkv * tables} ${Tk}`, mean: `?${B} ${Hkv} ${D}` },
  );
  expectTypes(OP, { planes, mean: givenMean }, ['f32']);
  expectTypes(OP, { hashes: given }, ['i32']);
  expectContiguous(OP, { planes, mean: givenMean });
  expectRows(OP, { hashes: given });
  const mean = givenMean ?? meanKey(b, k);
  const hashes = given ?? hashesOf(b, centreRows(b, k, mean), planes);
  const map = collisionScores(b, hashesOf(b, q, planes), hashes, tables, visible);
  const forced = { first: sinks, last: recent };
  const lists = selectIndices(b, selectAbove(b, map, { threshold: COLLISIONS, visible, ...forced }), Tk);
  const bias = samplingBias(b, { q, k, mean, bits, tables }, lists, forced);
  indexAttend(b, call, { ...lists, bias });
  const kept = keep && { indices: b.keep(lists.indices), counts: b.keep(lists.counts) };
  return { o: call.o, lse: call.lse, ...kept };
}

/**
 * Causal attention on a sample of tokens: those whose hashes are the query's in two tables or more, with the first `sinks` and the last
 * `recent`. A key at an angle theta from the query is sampled with the probability u = 1 - (1 - p^K)^L - L p^K (1 - p^K)^(L - 1),
 * p = 1 - theta / pi, K bits and L tables; -ln(u + 1e-4) is added to its logit, so that the sums are those of all tokens on average. Keys
 * are centred before they are hashed and before angles are taken. Queries are aligned with the last keys.
 *
 * The same planes give the same sample. Lists of as many keys as there are are made for each query and head: for few queries.
 *
 * Source: MagicPIG (Chen 2024); reference implementation Infini-AI-Lab/MagicPIG, cache_ref.py.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { planes, hashes, mean } = await magicPigTables({ k }, { tables: 75, bits: 8, seed: 1 })
 * const { o } = await magicPig({ q, k, v, planes, hashes, mean }, { sinks: 4, recent: 64 })
 */
export function magicPig(inputs: MagicPigInputs, options: MagicPigOptions = {}): Promise<ChosenTokenResult> {
  return run(OP, inputs, (b) => planMagicPig(b, inputs, options));
}

/** As `magicPig`, to the end before it returns. */
export function magicPigSync(inputs: MagicPigInputs, options: MagicPigOptions = {}): ChosenTokenResult {
  return runSync(OP, inputs, (b) => planMagicPig(b, inputs, options));
}

/**
 * Tables of hashes of keys: random directions of a seed, the mean of the keys of each head, and the hash of every key in every table.
 *
 * Source: MagicPIG (Chen 2024); SimHash (Charikar 2002).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { planes, hashes, mean } = await magicPigTables({ k }, { tables: 75, bits: 8, seed: 1 })
 */
export function magicPigTables(
  inputs: MagicPigTablesInputs,
  options: MagicPigTablesOptions = {},
): Promise<MagicPigTablesResult> {
  return run(TABLES, inputs, (b) => planMagicPigTables(b, inputs, options));
}

/** As `magicPigTables`, to the end before it returns. */
export function magicPigTablesSync(
  inputs: MagicPigTablesInputs,
  options: MagicPigTablesOptions = {},
): MagicPigTablesResult {
  return runSync(TABLES, inputs, (b) => planMagicPigTables(b, inputs, options));
}
