import type { AttentionCall } from '../src/engines/attention-call.ts';
import { type FlashExtras, flashAttend } from '../src/engines/flash.ts';
import type { Runtime, Tensor } from '../src/index.ts';
import { runSync } from '../src/runtime/program.ts';

/** Runs the flash engine alone on q, k and v, with free memory full of NaN, and copies o and lse out. */
export function flashCall(
  rt: Runtime,
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
  extras: FlashExtras,
  options: Partial<AttentionCall> = {},
): { o: Float32Array; lse: Float32Array } {
  const [B, Tq, H, D] = q.shape as [number, number, number, number];
  const [kLength, Dv] = [k.shape[1]!, v.shape[3]!];
  return rt.scope(() => {
    const { o, lse } = runSync('flash', { q, k, v }, (b) => {
      const sequences = Array.from({ length: B }, (_, batch) => ({
        batch,
        qStart: 0,
        qLength: Tq,
        kStart: 0,
        kLength,
        offset: kLength - Tq,
      }));
      const [o, lse] = [b.output([B, Tq, H, Dv]), b.output([B, Tq, H])];
      rt.poison();
      flashAttend(
        b,
        { q, k, v, o, lse, sequences, scale: D ** -0.5, softcap: 0, window: [-1, -1], ...options },
        extras,
      );
      return { o, lse };
    });
    return { o: o.dataSync() as Float32Array, lse: lse.dataSync() as Float32Array };
  });
}
