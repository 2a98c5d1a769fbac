import type { Peer } from '../../src/cli/bench/contender.ts';
import { onnxruntimeWeb } from './onnxruntime-web.ts';
import { plainJavaScript } from './plain-js.ts';
import { tfjsWasm } from './tfjs-wasm.ts';

/** The peers that can use a number of threads: with one, all of them; with more, onnxruntime-web. */
export async function loadPeers(threads: number): Promise<Peer[]> {
  if (threads > 1) return [await onnxruntimeWeb(threads)];
  return [await onnxruntimeWeb(1), await tfjsWasm(), plainJavaScript];
}
