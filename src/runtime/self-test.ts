/**
 * Proof on the device that a build computes correctly: some engines accept SIMD code and then run it wrongly.
 *
 * @module
 */
import { WattnError } from '../errors.ts';
import { ARENA_START } from '../generated/kernels.ts';
import { DecodeParams, FlashPackParams, FlashParams, FlashQuantiseParams, Sequence } from '../generated/params.ts';
import { PARAMS } from './control.ts';
import { encode } from './params.ts';
import type { KernelFunction, Variant } from './variant.ts';

/** The kernels of a build under test, with the start of a fresh arena as their memory. */
interface Subject {
  readonly kernels: Record<string, KernelFunction>;
  readonly f32: Float32Array;
  readonly i8: Int8Array;
  readonly words: Int32Array;
}

/** As assembly/flash/quantization.ts numbers it. */
const INT8 = 1;

/** Byte address of the n-th KiB of the arena. */
const at = (n: number) => ARENA_START + n * 1024;
/** A fixed, uneven sequence of numbers from -1 to 1. */
const value = (i: number) => ((i * 37) % 23) / 11 - 1;

function call({ kernels, words }: Subject, kernel: string, params: Int32Array): void {
  words.set(params, PARAMS / 4);
  kernels[kernel]!(PARAMS, 0, 1, at(16));
}

/** Softmax attention of one query by plain arithmetic. */
function attend(q: number[], keys: number[][], values: number[][], scale: number): number[] {
  const weights = keys.map((k) => Math.exp(scale * k.reduce((sum, x, c) => sum + x * q[c]!, 0)));
  const total = weights.reduce((a, b) => a + b);
  return values[0]!.map((_, c) => weights.reduce((sum, w, j) => sum + (w / total) * values[j]![c]!, 0));
}

/** Largest deviation of the flash kernels on a causal problem of 11 tokens of 5 dimensions. */
function flashError(subject: Subject): number {
  const [t, d, scale] = [11, 5, 0.5];
  const [q, k, v, o, sequences, kPack, vPack, kNorms] = [at(0), at(1), at(2), at(3), at(4), at(5), at(9), at(14)];
  const { f32, words } = subject;
  for (let i = 0; i < t * d; ++i) {
    f32[q / 4 + i] = value(i);
    f32[k / 4 + i] = value(i + 5) * 3;
    f32[v / 4 + i] = value(i + 11);
  }
  words.set(encode(Sequence, { qLength: t, kLength: t }), sequences / 4);
  const common = { sequences, sequenceCount: 1, dk: d, dv: d, blocks: 1, kPack, vPack, kNorms };
  call(subject, 'flashPack', encode(FlashPackParams, { k, v, kStrideT: d, vStrideT: d, kvHeads: 1 }, common));
  const shape = { q, o, heads: 1, group: 1, qStrideT: d, oStrideT: d, blockQ: 12, scale, windowLeft: -1 };
  call(subject, 'flash', encode(FlashParams, shape, common));
  const row = (address: number, i: number) => Array.from(f32.subarray(address / 4 + i * d, address / 4 + (i + 1) * d));
  let error = 0;
  for (let i = 0; i < t; ++i) {
    const seen = Array.from({ length: i + 1 }, (_, j) => j);
    const want = attend(
      row(q, i),
      seen.map((j) => row(k, j)),
      seen.map((j) => row(v, j)),
      scale,
    );
    for (const [c, got] of row(o, i).entries()) {
      error = Math.max(error, Number.isNaN(got) ? 1 : Math.abs(got - want[c]!));
    }
  }
  return error;
}

/**
 * Whether flash on 8-bit codes gives the same bits on the relaxed dot product as on products of 16 bits. q, k and v are those that
 * flashError has left.
 */
function codesAreRight(subject: Subject): boolean {
  const [t, d] = [11, 5];
  const [q, k, v, o, sequences, kPack, vPack] = [at(0), at(1), at(2), at(3), at(4), at(5), at(7)];
  const { f32, words } = subject;
  words.set(encode(Sequence, { qLength: t, kLength: t }), sequences / 4);
  const common = { sequences, sequenceCount: 1, dk: d, dv: d, blocks: 1, kPack, vPack, quantization: INT8 };
  call(
    subject,
    'flashPackQuantised',
    encode(FlashQuantiseParams, { k, v, kStrideT: d, vStrideT: d, kvHeads: 1 }, common),
  );
  const shape = { q, o, heads: 1, group: 1, qStrideT: d, oStrideT: d, blockQ: 12, scale: 0.5, windowLeft: -1 };
  const [products, dots] = [0, 1].map((relaxedDot) => {
    call(subject, 'flash', encode(FlashParams, shape, common, { relaxedDot }));
    return f32.slice(o / 4, o / 4 + t * d);
  });
  return products!.every((x, i) => x === dots![i]) && products!.some((x) => x !== 0);
}

/** Whether one query over 7 int8 keys comes out right on the relaxed dot product of 8-bit integers. */
function dotIsRight(subject: Subject): boolean {
  const [t, d] = [7, 16];
  const [q, k, v, scales, sequences, partials] = [at(0), at(1), at(2), at(3), at(4), at(5)];
  const { f32, i8, words } = subject;
  for (let i = 0; i < d; ++i) f32[q / 4 + i] = value(i);
  for (let i = 0; i < t * d; ++i) {
    i8[k + i] = Math.round(value(i + 5) * 127);
    i8[v + i] = Math.round(value(i + 11) * 127);
  }
  f32.fill(1 / 127, scales / 4, scales / 4 + t);
  words.set(encode(Sequence, { qLength: 1, kLength: t, offset: t - 1 }), sequences / 4);
  const cache = { k, v, kType: 3, vType: 3, kStrideT: d, vStrideT: d, kScale: scales, vScale: scales, scaleStrideT: 1 };
  const shape = {
    q,
    sequences,
    sequenceCount: 1,
    heads: 1,
    group: 1,
    dk: d,
    dv: d,
    scale: 1,
    windowLeft: -1,
    windowRight: -1,
  };
  const split = { kvHeads: 1, splitKeys: 64, splits: 1, rows: 1, partials, relaxedDot: 1 };
  call(subject, 'decode', encode(DecodeParams, cache, shape, split));
  const row = (address: number, i: number) =>
    Array.from(i8.subarray(address + i * d, address + (i + 1) * d), (x) => x / 127);
  const all = Array.from({ length: t }, (_, j) => j);
  const want = attend(
    Array.from(f32.subarray(q / 4, q / 4 + d)),
    all.map((j) => row(k, j)),
    all.map((j) => row(v, j)),
    1,
  );
  const l = f32[partials / 4 + d + 1]!;
  return want.every((x, c) => Math.abs(f32[partials / 4 + c]! / l - x) < 1e-3);
}

/** Whether the relaxed dot product of 8-bit integers is one instruction: see assembly/probe/dot.ts. */
function dotIsOne(subject: Subject): boolean {
  call(subject, 'probeDot', new Int32Array(0));
  return subject.words[at(16) / 4] !== -65536;
}

/**
 * Runs a build on tiny problems and compares with plain arithmetic. Uses the start of a fresh arena.
 *
 * @returns what of the build may be used: the relaxed dot product is wrong in the baseline compiler of some engines.
 * @throws WattnError if the build computes wrongly.
 */
export function selfTest(
  kernels: Record<string, KernelFunction>,
  memory: WebAssembly.Memory,
  variant: Variant,
): { relaxedDot: boolean; singleDot: boolean } {
  const { buffer } = memory;
  const subject = { kernels, f32: new Float32Array(buffer), i8: new Int8Array(buffer), words: new Int32Array(buffer) };
  const error = flashError(subject);
  if (!(error < 1e-5)) {
    throw new WattnError(
      `the '${variant}' build was off by ${error} in its self-test: this engine accepts the build but runs it wrongly. ` +
        "Ask for another { variant }, and report the engine's name and version.",
    );
  }
  const relaxedDot = variant === 'relaxed' && codesAreRight(subject) && dotIsRight(subject);
  return { relaxedDot, singleDot: relaxedDot && dotIsOne(subject) };
}
