import { attention, type Runtime } from '../../src/index.ts';
import type { Captured } from './capture.ts';
import type { Inputs, Method, Setting } from './method.ts';
import type { Visible } from './visible.ts';

/** Largest relative error of a head where the output is known: of a setting that leaves nothing out, and of what a setting shows. */
export const bound = 1e-5;

/** What a setting came to on all layers of all texts. */
export interface Quality {
  readonly method: string;
  readonly setting: string;
  /** Visible pairs over the pairs of dense attention. */
  readonly density: number;
  /** |o - dense| / |dense|, the mean over texts, layers and heads, and the largest. */
  readonly error: number;
  readonly worst: number;
}

/** Where the output was not what it had to be. */
export interface Failure {
  readonly method: string;
  readonly setting: string;
  readonly expected: string;
  readonly error: number;
}

interface Layer {
  readonly inputs: Inputs;
  /** What dense attention gives. */
  readonly dense: Float32Array;
}

/** Runs methods on captured layers, and checks their calls on the way. */
export class Bench {
  readonly failures: Failure[] = [];
  /** Largest errors found by the checks. */
  readonly checked = { everything: 0, masked: 0 };
  readonly #rt: Runtime;
  readonly #causal: boolean;
  readonly #layers: readonly Layer[];

  private constructor(rt: Runtime, causal: boolean, layers: readonly Layer[]) {
    this.#rt = rt;
    this.#causal = causal;
    this.#layers = layers;
  }

  static async create(rt: Runtime, captured: readonly Captured[], causal: boolean): Promise<Bench> {
    const layers: Layer[] = [];
    for (const { q, k, v } of captured) {
      const [tq, tk, tv] = [q, k, v].map(({ data, shape }) => rt.tensor(data, [...shape]));
      const inputs = { q: tq!, k: tk!, v: tv! };
      using o = (await attention(inputs, { causal })).o;
      layers.push({ inputs, dense: o.dataSync() as Float32Array });
    }
    return new Bench(rt, causal, layers);
  }

  /** Measures a method's settings, once those that leave nothing out have been checked. */
  async measure(method: Method): Promise<Quality[]> {
    for (const setting of method.everything) {
      const { worst, density } = await this.#run(method, setting);
      this.checked.everything = Math.max(this.checked.everything, worst);
      this.#expect(
        method,
        setting,
        `dense attention, density ${density}`,
        density === 1 ? worst : Number.POSITIVE_INFINITY,
      );
    }
    const found: Quality[] = [];
    for (const setting of method.settings) {
      found.push({ method: method.name, setting: setting.text, ...(await this.#run(method, setting)) });
    }
    return found;
  }

  async #run(method: Method, setting: Setting): Promise<Pick<Quality, 'density' | 'error' | 'worst'>> {
    const rt = this.#rt;
    const errors: number[] = [];
    let shares = 0;
    for (const { inputs, dense } of this.#layers) {
      await rt.scope(async () => {
        const { o, seen } = await setting.run(inputs, rt);
        const got = o.dataSync() as Float32Array;
        const [, T, heads, size] = o.shape as [number, number, number, number];
        errors.push(...headErrors(got, dense, heads, size));
        if (typeof seen === 'number') {
          shares += seen;
          return;
        }
        const { mask, share } = this.#maskOf(seen, heads, T);
        shares += share;
        const tensor = rt.tensor(mask, [1, heads, T, T], 'u8');
        const masked = await attention({ ...inputs, mask: tensor }, { causal: this.#causal });
        const error = Math.max(...headErrors(got, masked.o.dataSync() as Float32Array, heads, size));
        this.checked.masked = Math.max(this.checked.masked, error);
        this.#expect(method, setting, 'dense attention under a mask of the pairs counted', error);
      });
    }
    const error = errors.reduce((sum, each) => sum + each, 0) / errors.length;
    return { density: shares / this.#layers.length, error, worst: Math.max(...errors) };
  }

  #expect(method: Method, setting: Setting, expected: string, error: number): void {
    if (!(error <= bound)) this.failures.push({ method: method.name, setting: setting.text, expected, error });
  }

  /** The pairs seen as a mask [heads, T, T], and their share of dense attention's. */
  #maskOf(seen: Visible, heads: number, T: number): { mask: Uint8Array; share: number } {
    const mask = new Uint8Array(heads * T * T);
    let pairs = 0;
    for (let head = 0; head < heads; ++head) {
      for (let query = 0; query < T; ++query) {
        const end = this.#causal ? query + 1 : T;
        for (let key = 0; key < end; ++key) {
          if (!seen(head, query, key)) continue;
          mask[(head * T + query) * T + key] = 1;
          ++pairs;
        }
      }
    }
    return { mask, share: pairs / (heads * (this.#causal ? (T * (T + 1)) / 2 : T * T)) };
  }
}

/** |got - want| / |want| of each head of [1, T, heads, size]; a head of zeros must be zeros. */
export function headErrors(got: Float32Array, want: Float32Array, heads: number, size: number): number[] {
  const difference = new Float64Array(heads);
  const norm = new Float64Array(heads);
  for (let at = 0; at < want.length; ++at) {
    const head = Math.floor(at / size) % heads;
    difference[head]! += (got[at]! - want[at]!) ** 2;
    norm[head]! += want[at]! ** 2;
  }
  return Array.from(difference, (sum, head) => (sum === 0 ? 0 : Math.sqrt(sum / norm[head]!)));
}
