/**
 * WebGPU that keeps the devices which it gives, and may be told to fail.
 *
 * @module
 */
import type { Gpu } from '../../src/index.ts';

/** WebGPU under observation. */
export interface Watched extends Gpu {
  readonly devices: GPUDevice[];
  /** What the next adapter says to a request for a device, in place of giving one. */
  refusal: string;
  /** Limits in place of those that its devices have. */
  limits: Readonly<Record<string, number>>;
}

/** The same WebGPU, watched. */
export function watched(gpu: Gpu): Watched {
  return {
    devices: [],
    refusal: '',
    limits: {},
    async requestAdapter(options) {
      const adapter = (await gpu.requestAdapter(options)) as GPUAdapter;
      const { info, features, limits } = adapter;
      const requestDevice = async (descriptor: GPUDeviceDescriptor) => {
        if (this.refusal !== '') throw new TypeError(this.refusal);
        const device = await adapter.requestDevice(descriptor);
        const own = device.limits as unknown as Record<string, number>;
        const value = new Proxy({}, { get: (_, name: string) => this.limits[name] ?? own[name] });
        Object.defineProperty(device, 'limits', { value });
        this.devices.push(device);
        return device;
      };
      return { info, limits, features, requestDevice };
    },
  };
}
