/**
 * Checks of rows of codes that come as inputs of a method.
 *
 * @module
 */
import { OptionError, ShapeError } from '../errors.ts';
import { contiguousStrides, type Tensor } from '../tensor.ts';
import { MOST_DIM, type Pages } from './attention-call.ts';
import { blockBytes, type Coded, type CodeFormat, scaleShape, tokensOf } from './codes.ts';
import { expectContiguous, expectTypes, matchShapes, whole } from './shapes.ts';

/** The tensors of coded rows. */
export interface CodedTensors {
  /** u8 [B, blocks, H, bytes]: blocks of 64 / bits tokens. */
  readonly codes: Tensor;
  /** f32 [B, blocks, H, groups, 64 / bits] (axis 'token'), [B, spans of `group` tokens, H, D] or [H, D] (axis 'channel'). */
  readonly scale: Tensor;
  /** As scale; without it codes are symmetric about zero. */
  readonly offset?: Tensor | undefined;
  /** f32 [2^bits]: what a code stands for. */
  readonly codebook?: Tensor | undefined;
  /** i32 and f32 [B, blocks, H, 64 / bits, slots]: channels of each row, and what is added to them. */
  readonly outlierIndex?: Tensor | undefined;
  readonly outlierValue?: Tensor | undefined;
}

/** Options that say how rows are coded. */
export interface CodeOptions {
  /** Bits of a code: 4 (the default) or 2. */
  readonly bits?: 4 | 2;
  /** A scale for each 'token' of a group of channels (the default), or for each 'channel' of a group of tokens. */
  readonly axis?: 'token' | 'channel';
  /** Channels, or tokens, of a group: a multiple of 64 / bits; of channels also any number from D on. Default 32. */
  readonly group?: number;
}

/** The format that options ask for. `prefix` names them in errors. @throws OptionError if they do not fit. */
export function formatOf(
  op: string,
  of: 'keys' | 'values',
  options: CodeOptions,
  d: number,
  name = (option: string) => option,
): CodeFormat {
  const { bits = 4, axis = 'token' } = options;
  if (bits !== 4 && bits !== 2) throw new OptionError(`${op}: ${name('bits')} is ${bits}, expected 4 or 2`);
  if (axis !== 'token' && axis !== 'channel') {
    throw new OptionError(`${op}: ${name('axis')} is ${axis}, expected 'token' or 'channel'`);
  }
  if (axis === 'channel' && of === 'values') {
    throw new OptionError(`${op}: ${name('axis')} is 'channel', but values have a scale for each token`);
  }
  const group = whole(op, name('group'), options.group, 32, 1);
  const block = tokensOf(bits);
  if (group % block !== 0 && !(axis === 'token' && group >= d)) {
    throw new OptionError(`${op}: ${name('group')} is ${group}, expected a multiple of ${block} at ${bits} bits`);
  }
  return { of, bits, axis, group };
}

/** @throws ShapeError if what belongs to one head (all axes from the fourth on, or the last of two) has gaps. */
function expectHeads(op: string, tensors: Readonly<Record<string, Tensor | undefined>>, flat: string): void {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!tensor || name === flat) continue;
    const { shape, strides } = tensor;
    const from = Math.min(3, shape.length - 1);
    const dense = contiguousStrides(shape);
    if (strides.some((step, axis) => axis >= from && shape[axis]! > 1 && step !== dense[axis])) {
      throw new ShapeError(
        `${op}: ${name} (shape [${shape}], strides [${strides}]) must be contiguous within a head: permute only its first three axes`,
      );
    }
  }
}

/**
 * Coded rows from their tensors.
 *
 * @param sizes lengths that are known: D, and B (pages, with `pages`) and H where they are.
 * @throws ShapeError, DTypeError if a tensor does not fit.
 */
export function codedOf(
  op: string,
  format: CodeFormat,
  tensors: CodedTensors,
  sizes: { B?: number | undefined; H?: number | undefined; D: number },
  name = (tensor: string) => tensor,
  pages?: Pages,
): Coded {
  const { codes, scale, offset, codebook, outlierIndex, outlierValue } = tensors;
  const named = Object.fromEntries(Object.entries(tensors).map(([key, tensor]) => [name(key), tensor]));
  const { D, B = 'B', H = 'Hkv' } = sizes;
  if (D < 1 || D > MOST_DIM)
    throw new ShapeError(`${op}: heads of ${name('codes')} have ${D} elements, expected 1 to ${MOST_DIM}`);
  const [bytes, block] = [blockBytes(format, D), tokensOf(format.bits)];
  const found = matchShapes(op, { [name('codes')]: codes }, { [name('codes')]: `${B} blocks ${H} ${bytes}` });
  const [batch, blocks, heads] = [codes.shape[0]!, found.blocks!, codes.shape[2]!];
  const everywhere = format.axis === 'channel' && scale?.shape.length === 2;
  if (format.axis === 'channel' && !everywhere && pages && (blocks * block) % format.group !== 0) {
    throw new ShapeError(
      `${op}: a page of ${name('codes')} holds ${blocks * block} tokens, expected a multiple of the group, ${format.group}`,
    );
  }
  const numbers = everywhere ? `${heads} ${D}` : scaleShape(format, batch, blocks * block, heads, D).join(' ');
  const outliers = `?${batch} ${blocks} ${heads} ${block} slots`;
  matchShapes(op, named, {
    [name('scale')]: numbers,
    [name('offset')]: `?${numbers}`,
    [name('codebook')]: `?${2 ** format.bits}`,
    [name('outlierIndex')]: outliers,
    [name('outlierValue')]: outliers,
  });
  if (!outlierIndex !== !outlierValue) {
    throw new ShapeError(`${op}: ${name('outlierIndex')} and ${name('outlierValue')} go together; one is missing`);
  }
  if (codebook && !offset)
    throw new ShapeError(`${op}: ${name('codebook')} needs ${name('offset')}, the middle of each group`);
  expectContiguous(op, { [name('codebook')]: codebook });
  expectTypes(op, { [name('codes')]: codes }, ['u8']);
  expectTypes(op, { [name('outlierIndex')]: outlierIndex }, ['i32']);
  expectTypes(
    op,
    {
      [name('scale')]: scale,
      [name('offset')]: offset,
      [name('codebook')]: codebook,
      [name('outlierValue')]: outlierValue,
    },
    ['f32'],
  );
  expectHeads(op, named, name('codebook'));
  const alike = (a?: Tensor, b?: Tensor) => !a || !b || a.strides.every((step, axis) => step === b.strides[axis]);
  if (!alike(scale, offset) || !alike(outlierIndex, outlierValue)) {
    throw new ShapeError(
      `${op}: ${name('scale')} and ${name('offset')}, ${name('outlierIndex')} and ${name('outlierValue')} must be laid out alike`,
    );
  }
  return { ...format, d: D, codes, scale, offset, codebook, outlierIndex, outlierValue, pages };
}
