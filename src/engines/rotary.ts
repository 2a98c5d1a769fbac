/**
 * Host side of rotary position embedding: angle tables, and the kernel that applies them.
 *
 * @module
 */
import { RopeParams } from '../generated/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { overTokens } from './tokens.ts';

/** Positions are split as SPAN * high + low, so that few sines and cosines make all angles. */
const SPAN = 64;

/** Tables of some positions, kept as long as nothing else wants their memory: the layers of a model ask for the same ones in turn. */
interface Kept {
  readonly positions: Float64Array;
  readonly half: number;
  readonly base: number;
  readonly angles: Angles;
}

let latest: WeakRef<Kept> | undefined;

/** Tables of angles. */
export interface Angles {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** cos and sin [positions, half] of position * base^(-i / half), combined in f64; they must not be written to. */
export function rotaryAngles(positions: ArrayLike<number>, half: number, base: number): Angles {
  const kept = latest?.deref();
  if (kept && kept.half === half && kept.base === base && same(kept.positions, positions)) return kept.angles;
  const angles = anglesOf(positions, half, base);
  latest = new WeakRef({ positions: Float64Array.from(positions), half, base, angles });
  return angles;
}

function same(a: Float64Array, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; ++i) if (a[i] !== b[i]) return false;
  return true;
}

function anglesOf(positions: ArrayLike<number>, half: number, base: number): Angles {
  const frequency = Float64Array.from({ length: half }, (_, i) => base ** (-i / half));
  const turns = new Map<number, { c: Float64Array; s: Float64Array }>();
  const turn = (at: number) => {
    let found = turns.get(at);
    if (!found) {
      found = { c: frequency.map((f) => Math.cos(at * f)), s: frequency.map((f) => Math.sin(at * f)) };
      turns.set(at, found);
    }
    return found;
  };
  const cos = new Float32Array(positions.length * half);
  const sin = new Float32Array(positions.length * half);
  for (let t = 0; t < positions.length; ++t) {
    const position = positions[t]!;
    const low = ((position % SPAN) + SPAN) % SPAN;
    const a = turn(position - low);
    const b = turn(low);
    for (let i = 0; i < half; ++i) {
      cos[t * half + i] = a.c[i]! * b.c[i]! - a.s[i]! * b.s[i]!;
      sin[t * half + i] = a.s[i]! * b.c[i]! + a.c[i]! * b.s[i]!;
    }
  }
  return { cos, sin };
}

/** One rotation of x [B, T, H, D] into o; cos and sin [B|1, rows, rotated / 2]. */
export interface RotaryCall {
  readonly x: Tensor;
  readonly o: Tensor;
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** i32 [B, T]: row of cos and sin in place of t. */
  readonly positions?: Tensor | undefined;
  readonly rotated: number;
  readonly interleaved: boolean;
}

/** Adds a rotation. */
export function rotate(b: Builder, call: RotaryCall): void {
  const { x, o, cos, sin, positions } = call;
  const values = {
    cos: cos.address,
    sin: sin.address,
    angleStrideB: cos.shape[0] === 1 ? 0 : cos.strides[0]!,
    angleStrideT: cos.strides[1]!,
    positions: positions?.address ?? 0,
    positionsStrideB: positions?.strides[0] ?? 0,
    rotated: call.rotated,
    interleaved: call.interleaved ? 1 : 0,
  };
  overTokens(b, 'rope', RopeParams, { x, o }, values, { flops: 6, elements: 4096 });
}
