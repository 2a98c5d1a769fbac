/**
 * How caches read their memory on the host: in place on WebAssembly, by readbacks from a GPU.
 *
 * @module
 */
import type { Runtime } from '../runtime/runtime.ts';

/** A run of bytes of a runtime's memory. */
export interface ByteRun {
  readonly at: number;
  readonly length: number;
}

/** The bytes of a run. */
export type ReadBytes = (run: ByteRun) => Uint8Array;

/** Runs that lie no farther apart than this are read back together: a readback costs more than the bytes between. */
const NEAR_BYTES = 2 ** 16;
const MOST_BYTES = 2 ** 26;

/** Reads live memory. @throws HostAccessError from a GPU, for what has bytes at all. */
export function liveBytes(rt: Runtime): ReadBytes {
  return ({ at, length }) => (length === 0 ? new Uint8Array(0) : new Uint8Array(rt.buffer, at, length));
}

/**
 * What `save` makes of bytes that it reads, of any memory. Of a GPU's it is called twice: first to see what it reads, which is zeros then;
 * it must read the same runs again.
 */
export async function savedFrom(rt: Runtime, save: (read: ReadBytes) => Uint8Array): Promise<Uint8Array> {
  if (rt.backend === 'wasm') return save(liveBytes(rt));
  const runs: ByteRun[] = [];
  save((run) => {
    if (run.length > 0) runs.push(run);
    return new Uint8Array(run.length);
  });
  const spans: { at: number; end: number; bytes: Uint8Array }[] = [];
  for (const { at, length } of runs.sort((a, b) => a.at - b.at)) {
    const last = spans.at(-1);
    const end = at + length;
    if (last && at <= last.end + NEAR_BYTES && end - last.at <= MOST_BYTES) last.end = Math.max(last.end, end);
    else spans.push({ at, end, bytes: new Uint8Array(0) });
  }
  for (const span of spans) {
    const length = span.end - span.at;
    const { buffer, at } = await rt.readBack(span.at, length);
    span.bytes = new Uint8Array(buffer, at, length);
  }
  return save(({ at, length }) => {
    if (length === 0) return new Uint8Array(0);
    let [low, high] = [0, spans.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (spans[middle]!.at <= at) low = middle;
      else high = middle - 1;
    }
    const { at: begin, bytes } = spans[low]!;
    return bytes.subarray(at - begin, at - begin + length);
  });
}
