import type { Runtime, Tensor } from '../../src/index.ts';
import type { Sizes } from './layers.ts';

/** What the network remembers of the frames of one recording. */
export class Memory {
  /** [1, channels, filter - 1]: last inputs of the convolution. */
  readonly last: Tensor;
  /** [1, channels, states] of the scan. */
  readonly state: Tensor;
  /** [width]: sum of the block's outputs. */
  readonly sum: Tensor;
  frames = 0;

  constructor(rt: Runtime, { channels, filter, states, width }: Sizes) {
    this.last = rt.zeros([1, channels, filter - 1]);
    this.state = rt.zeros([1, channels, states]);
    this.sum = rt.zeros([width]);
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const tensor of [this.last, this.state, this.sum]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
