/**
 * Choice among the four wasm builds, and the proof on the device that the chosen one computes correctly.
 *
 * @module
 */
import { UnsupportedError, WattnError } from '../errors.ts';
import { ARENA_START } from '../generated/kernels.ts';
import { FlashPackParams, FlashParams, Sequence } from '../generated/params.ts';
import { WASM } from '../generated/wasm.ts';
import { PARAMS } from './control.ts';
import type { Host } from './features.ts';
import { encode } from './params.ts';

/** Instruction set of a build. */
export type Variant = 'simd' | 'relaxed';

/** A build, as it is named in the package. */
export type Build = keyof typeof WASM;

/** A kernel as the builds export it. */
export type KernelFunction = (params: number, begin: number, end: number, scratch: number) => void;

const compiled = new Map<Build, Promise<WebAssembly.Module>>();

/** The variants to try, best first. @throws UnsupportedError if one that was asked for is not there. */
export function variantsToTry(host: Host, asked: Variant | undefined): Variant[] {
  const unsupported = (what: string, hint: string) =>
    new UnsupportedError(`variant '${asked ?? 'simd'}' was asked for, but this engine has no ${what}. ${hint}`);
  if (!host.simd) throw unsupported('WebAssembly SIMD', 'wattn needs an engine of 2021 or later.');
  if (asked === 'relaxed' && !host.relaxedSimd) {
    const hint =
      host.runtime === 'node'
        ? "On Node 20 start it with --experimental-wasm-relaxed-simd, or use Node 22 or later; or ask for 'simd'."
        : "Ask for 'simd', or leave the variant to wattn.";
    throw unsupported('relaxed SIMD', hint);
  }
  if (asked) return [asked];
  return host.relaxedSimd ? ['relaxed', 'simd'] : ['simd'];
}

/** Compiles a build once per process. */
export function compileBuild(build: Build): Promise<WebAssembly.Module> {
  let module = compiled.get(build);
  if (!module) {
    const text = atob(WASM[build]);
    module = WebAssembly.compile(Uint8Array.from(text, (c) => c.charCodeAt(0)));
    compiled.set(build, module);
    module.catch(() => compiled.delete(build));
  }
  return module;
}

/**
 * Runs the flash kernels on a tiny problem and compares with plain arithmetic: some engines accept SIMD code and
 * then compute it wrongly. Uses the start of a fresh arena.
 *
 * @throws WattnError if the build computes wrongly.
 */
export function selfTest(kernels: Record<string, KernelFunction>, memory: WebAssembly.Memory, variant: Variant): void {
  const [t, d] = [11, 5];
  const value = (i: number) => ((i * 37) % 23) / 11 - 1;
  const base = ARENA_START;
  const [q, k, v, o, sequences, kPack, vPack, scratch] = [0, 1, 2, 3, 4, 5, 9, 13].map((i) => base + i * 1024) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const f32 = new Float32Array(memory.buffer);
  for (let i = 0; i < t * d; ++i) {
    f32[q / 4 + i] = value(i);
    f32[k / 4 + i] = value(i + 5) * 3;
    f32[v / 4 + i] = value(i + 11);
  }
  const words = new Int32Array(memory.buffer);
  words.set(encode(Sequence, { qLength: t, kLength: t }), sequences / 4);
  const strides = { kStrideT: d, vStrideT: d, sequences, sequenceCount: 1, dk: d, dv: d, blocks: 1, kPack, vPack };
  words.set(encode(FlashPackParams, { k, v, ...strides, kvHeads: 1 }), PARAMS / 4);
  kernels.flashPack!(PARAMS, 0, 1, scratch);
  words.set(
    encode(FlashParams, {
      q,
      o,
      kPack,
      vPack,
      sequences,
      sequenceCount: 1,
      dk: d,
      dv: d,
      blocks: 1,
      heads: 1,
      group: 1,
      qStrideT: d,
      oStrideT: d,
      blockQ: 12,
      scale: 0.5,
      windowLeft: -1,
    }),
    PARAMS / 4,
  );
  kernels.flash!(PARAMS, 0, 1, scratch);
  for (let i = 0; i < t; ++i) {
    const weights = Array.from({ length: i + 1 }, (_, j) => {
      let dot = 0;
      for (let c = 0; c < d; ++c) dot += f32[q / 4 + i * d + c]! * f32[k / 4 + j * d + c]!;
      return Math.exp(dot * 0.5);
    });
    const total = weights.reduce((a, b) => a + b);
    for (let c = 0; c < d; ++c) {
      const want = weights.reduce((sum, w, j) => sum + (w / total) * f32[v / 4 + j * d + c]!, 0);
      const got = f32[o / 4 + i * d + c]!;
      if (!(Math.abs(got - want) < 1e-5)) {
        throw new WattnError(
          `the '${variant}' build computed ${got} instead of ${want} in its self-test: this engine accepts the build but ` +
            "runs it wrongly. Ask for another { variant }, and report the engine's name and version.",
        );
      }
    }
  }
}
