/**
 * Rows and elements: a thread takes one element or four, but for norms, where some threads share a row.
 *
 * @module
 */
import {
  BinaryParams,
  BlendParams,
  CombineParams,
  CopyParams,
  ExpressionParams,
  GatherParams,
  NarrowParams,
  NormParams,
  OuterSumParams,
  RopeParams,
  ScatterParams,
} from '../../generated/gpu-params.ts';
import { storageBytes } from '../../tensor.ts';
import { type Fields, gpuKernel, groupsOf, type Pass } from '../kernel.ts';
import { aligned, alignedRows } from './aligned.ts';

const THREADS = 256;
const F32 = 0;

/** A pass over `n` elements by fours where `fours` says so, one by one otherwise. */
function over(
  shader: 'binary' | 'blend' | 'combine' | 'copy' | 'gather' | 'rope' | 'scatter',
  n: number,
  fours: boolean,
  extra?: Pass['extra'],
): Pass {
  return {
    shader,
    memory: fours ? 'wide' : 'words',
    groups: groupsOf(fours ? n / 4 : n, THREADS),
    ...(extra ? { extra } : {}),
  };
}

/** Rows of f32 that are written begin and end with a vector, whatever is read. */
function wideOutput(p: { o: number; oStrideB: number; oStrideT: number; oStrideH: number; d: number }): boolean {
  return alignedRows(p.o, p.oStrideB, p.oStrideT, p.oStrideH, p.d);
}

/** Rows of f32 that are read begin with a vector. */
function wideInput(p: { x: number; xStrideB: number; xStrideT: number; xStrideH: number }): boolean {
  return alignedRows(p.x, p.xStrideB, p.xStrideT, p.xStrideH);
}

/** Copies to 16 or 8 bits: by whole words of o where no word belongs to two rows, else the bytes of a word one after another. */
function narrowPasses(p: Fields<typeof NarrowParams>, items: number): Pass[] {
  const bytes = storageBytes(p.oType);
  const n = items * p.heads * p.d;
  const dense =
    (p.heads === 1 || p.oStrideH === p.d) &&
    (p.length === 1 || p.oStrideT === p.heads * p.d) &&
    (items <= p.length || p.oStrideB === p.length * p.heads * p.d);
  const whole = [p.oStrideB, p.oStrideT, p.oStrideH, p.d].every((count) => (count * bytes) % 4 === 0);
  if (p.o % 4 === 0 && (dense || whole)) {
    const each = 4 / bytes;
    return [
      {
        shader: 'narrow-words',
        constants: { EACH: each },
        groups: groupsOf(Math.ceil(n / each), THREADS),
        extra: { count: n },
      },
    ];
  }
  return Array.from({ length: 4 / bytes }, (_, i) => ({
    shader: 'narrow-elements',
    groups: groupsOf(n, THREADS),
    extra: { count: n, byte: i * bytes },
  }));
}

/** Threads that share a row of n elements in `norm`. */
function lanesOf(n: number): number {
  if (n <= 128) return 8;
  return n <= 1024 ? 32 : 256;
}

export const elementwise = {
  copy: gpuKernel(CopyParams, (p, { items }) => {
    const fours = p.xType === F32 && wideInput(p) && wideOutput(p);
    return [over('copy', items * p.heads * p.d, fours, { items })];
  }),
  binary: gpuKernel(BinaryParams, (p) => [over('binary', p.n, aligned([p.a, p.b, p.o], [p.n, p.period]))]),
  blend: gpuKernel(BlendParams, (p, { items }) => {
    const fours = aligned([p.x, p.o, p.wideGate ? p.gate : 0], [p.d]);
    return [over('blend', items * p.heads * p.d, fours, { items })];
  }),
  gather: gpuKernel(GatherParams, (p, { items }) => {
    const fours = p.xType === F32 && wideInput(p) && aligned([p.o], [p.xStrideM, p.d]);
    return [over('gather', items * p.heads * p.d, fours, { items })];
  }),
  combine: gpuKernel(CombineParams, (p, { items }) => [
    over('combine', items * p.heads * p.d, wideOutput(p) && aligned([p.x], []), { items }),
  ]),
  scatter: gpuKernel(ScatterParams, (p, { items }) => [
    over('scatter', items * p.heads * p.d, wideOutput(p) && aligned([p.x], []), { items }),
  ]),
  narrow: gpuKernel(NarrowParams, (p, { items }) => narrowPasses(p, items)),
  norm: gpuKernel(NormParams, (p, { items }) => {
    const fours = aligned([p.x, p.o, p.weight, p.bias], [p.n]);
    const lanes = lanesOf(fours ? p.n / 4 : p.n);
    return [
      {
        shader: 'norm',
        constants: { LANES: lanes },
        memory: fours ? 'wide' : 'words',
        groups: groupsOf(items, THREADS / lanes),
        extra: { rows: items },
      },
    ];
  }),
  outerSum: gpuKernel(OuterSumParams, (p, { items }) => [
    { shader: 'outer-sum', groups: groupsOf(items * p.heads * p.d, THREADS), extra: { items } },
  ]),
  rope: gpuKernel(RopeParams, (p, { items }) => {
    const half = p.rotated >> 1;
    const rest = p.x === p.o ? 0 : p.d - p.rotated;
    const neighbours = p.interleaved !== 0;
    const fours =
      !neighbours &&
      wideInput(p) &&
      wideOutput(p) &&
      aligned([p.cos, p.sin], [p.angleStrideB, p.angleStrideT, half, p.d - p.rotated]);
    const pass = over('rope', items * p.heads * (half + rest), fours, { items, half, rest });
    return [{ ...pass, constants: { NEIGHBOURS: neighbours } }];
  }),
  expression: gpuKernel(ExpressionParams, (p, call) => {
    const registers = 2 ** Math.max(2, Math.ceil(Math.log2(p.registers)));
    if (registers > 256) call.refuse(`an expression of ${p.registers} registers, where at most 256 fit into a thread`);
    const each = Math.ceil(p.columns / 4);
    return [
      {
        shader: 'expression',
        constants: { REGISTERS: registers },
        groups: groupsOf(call.items * each, 64),
        extra: { items: call.items, each, infinity: 0x7f800000 },
      },
    ];
  }),
};
