/**
 * ONNX RotaryEmbedding, opset 23.
 *
 * @module
 */
import { rotate } from '../engines/rotary.ts';
import {
  expectContiguous,
  expectNames,
  expectRows,
  expectTypes,
  integers,
  matchShapes,
  whole,
} from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { expectTensors, flag } from './attributes.ts';
import { splitHeads } from './heads.ts';
import { round, unrounded, widened } from './rows.ts';

/** Operands of `RotaryEmbedding`. */
export interface RotaryEmbeddingInputs {
  /** [B, H, T, D] or [B, T, H * D]; f32, f16 or bf16. */
  readonly input: Tensor;
  /** Cosines: [positions, half], or without position_ids [B, T, half]; half of the rotated elements of a head. */
  readonly cos_cache: Tensor;
  /** Sines, likewise. */
  readonly sin_cache: Tensor;
  /** i32 [B, T]: row of the caches for each token. */
  readonly position_ids?: Tensor;
}

/** Attributes of `RotaryEmbedding`. */
export interface RotaryEmbeddingAttributes {
  /** 1: pairs are (x[2i], x[2i + 1]) instead of (x[i], x[i + half]). Default 0. */
  readonly interleaved?: number | boolean;
  /** Heads; needed for 3 axes. Default 0: taken from the shape. */
  readonly num_heads?: number;
  /** Elements of a head that are rotated, the first ones; even. Default 0: all. */
  readonly rotary_embedding_dim?: number;
}

const OP = 'RotaryEmbedding';
const INPUTS = ['input', 'cos_cache', 'sin_cache', 'position_ids'];
const ATTRIBUTES = ['interleaved', 'num_heads', 'rotary_embedding_dim'];

/** A cache as the rotation reads it: f32 [B|1, rows, half]. */
function angles(b: Builder, cache: Tensor): Tensor {
  const exact = widened(b, cache);
  return cache.shape.length === 3 ? exact : exact.reshape([1, ...cache.shape]);
}

function plan(b: Builder, inputs: RotaryEmbeddingInputs, attributes: RotaryEmbeddingAttributes): { output: Tensor } {
  expectNames(OP, 'input', inputs, INPUTS);
  expectNames(OP, 'option', attributes, ATTRIBUTES);
  const { input, cos_cache, sin_cache, position_ids } = inputs;
  expectTensors(OP, inputs, ['input', 'cos_cache', 'sin_cache']);
  expectTypes(OP, { input, cos_cache, sin_cache }, ['f32', 'f16', 'bf16']);
  expectContiguous(OP, { cos_cache, sin_cache, position_ids });
  const heads = attributes.num_heads || undefined;
  const x = splitHeads(OP, 'input', input, 'num_heads', heads);
  expectRows(OP, { input });
  const [B, T, , D] = x.shape as [number, number, number, number];
  const rotated = whole(OP, 'rotary_embedding_dim', attributes.rotary_embedding_dim, 0, 0, D) || D;
  if (rotated % 2 !== 0) {
    throw new OptionError(
      `${OP}: ${rotated} elements of a head of ${D} would be rotated, expected an even number. Set rotary_embedding_dim.`,
    );
  }
  const half = rotated / 2;
  const cache = position_ids ? `positions ${half}` : `${B}|1 ${T} ${half}`;
  const { positions } = matchShapes<'cos_cache' | 'sin_cache' | 'position_ids'>(
    OP,
    { cos_cache, sin_cache, position_ids },
    { cos_cache: cache, sin_cache: cos_cache.shape.join(' '), position_ids: `?${B} ${T}` },
  );
  if (position_ids) {
    const wrong = integers(OP, 'position_ids', position_ids).find((at) => at < 0 || at >= positions!);
    if (wrong !== undefined) {
      throw new ShapeError(
        `${OP}: position_ids holds ${wrong}, expected rows of cos_cache from 0 to ${positions! - 1}`,
      );
    }
  }
  const output = b.output(input.shape, input.dtype);
  const to = unrounded(b, output);
  rotate(b, {
    x: widened(b, x),
    o: splitHeads(OP, 'output', to, 'num_heads', heads),
    cos: angles(b, cos_cache),
    sin: angles(b, sin_cache),
    positions: position_ids,
    rotated,
    interleaved: flag(OP, 'interleaved', attributes.interleaved),
  });
  round(b, to, output);
  return { output };
}

/**
 * Rotates pairs of elements of each head by the angles whose cosines and sines are given.
 *
 * Source: ONNX RotaryEmbedding-23; Su et al. 2021.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or attributes that do not fit.
 * @example const { output } = await RotaryEmbedding({ input, cos_cache, sin_cache, position_ids })
 */
export function RotaryEmbedding(
  inputs: RotaryEmbeddingInputs,
  attributes: RotaryEmbeddingAttributes = {},
): Promise<{ output: Tensor }> {
  return run(OP, inputs, (b) => plan(b, inputs, attributes));
}

/** As `RotaryEmbedding`, to the end before it returns. */
export function RotaryEmbeddingSync(
  inputs: RotaryEmbeddingInputs,
  attributes: RotaryEmbeddingAttributes = {},
): { output: Tensor } {
  return runSync(OP, inputs, (b) => plan(b, inputs, attributes));
}
