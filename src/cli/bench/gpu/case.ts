/**
 * Cases of the benchmark on a GPU: a call of fixed operands, the work in it, and what its result must be.
 *
 * @module
 */
import type { Runtime, Tensor } from '../../../index.ts';
import type { Problem } from '../problem.ts';

/** Lengths of a case by name, such as T, H and D. */
export type Shape = Readonly<Record<string, number>>;

/** Results of one call. */
export type Results = Readonly<Record<string, Tensor | undefined>>;

/** A call that is ready to be made again and again on the same operands. */
export interface GpuCall {
  call(): Promise<Results>;
  /** What it computes, where there is a definition in float64 for it; otherwise WebAssembly's result is the measure. */
  readonly problem?: Problem;
  /** The result in the problem's layout. */
  result?(results: Results): Promise<ArrayLike<number>>;
  /** Floating-point operations, if they are what limits it. */
  readonly flops?: number;
  /** Bytes that must be read and written, each once. */
  readonly bytes: number;
}

/** One line of the table. */
export interface GpuCase {
  readonly name: string;
  readonly title: string;
  /** The lengths that figures are quoted for, and those that a GPU that is a program can do in a second. */
  readonly shape: Shape;
  readonly small: Shape;
  /** Whether it runs when no names are given. */
  readonly core: boolean;
  prepare(rt: Runtime, shape: Shape): GpuCall;
}

/** Disposes all tensors of a result. */
export function disposeAll(results: Results): void {
  for (const tensor of Object.values(results)) tensor?.dispose();
}
