/**
 * Pipelines of a device, each compiled once.
 *
 * @module
 */
import { GpuError } from '../errors.ts';
import type { Layout } from '../runtime/params.ts';
import { type Banks, bankBinding } from './banks-text.ts';
import type { Pass } from './kernel.ts';
import { shaderKey, shaderText } from './shader-text.ts';

/** Compiles and keeps pipelines for an arena of some buffers; all have one layout, so that one bind group serves every pass. */
export class Pipelines {
  readonly layout: GPUBindGroupLayout;
  readonly banks: Banks;
  readonly #device: GPUDevice;
  readonly #guardsLoops: boolean;
  readonly #pipelineLayout: GPUPipelineLayout;
  readonly #ready = new Map<string, GPUComputePipeline>();
  readonly #coming = new Map<string, Promise<GPUComputePipeline>>();

  constructor(device: GPUDevice, banks: Banks, guardsLoops: boolean) {
    this.#device = device;
    this.#guardsLoops = guardsLoops;
    this.banks = banks;
    const visibility = GPUShaderStage.COMPUTE;
    this.layout = device.createBindGroupLayout({
      entries: [
        ...Array.from({ length: banks.count }, (_, i) => {
          return { binding: bankBinding(i), visibility, buffer: { type: 'storage' as const } };
        }),
        { binding: 1, visibility, buffer: { type: 'uniform', hasDynamicOffset: true } },
      ],
    });
    this.#pipelineLayout = device.createPipelineLayout({ bindGroupLayouts: [this.layout] });
  }

  /** Pipelines that were compiled so far. */
  get count(): number {
    return this.#ready.size;
  }

  /** A pass's pipeline if it is compiled. */
  find(pass: Pass): GPUComputePipeline | undefined {
    return this.#ready.get(shaderKey(pass));
  }

  /** A pass's pipeline, compiled now if need be: the call may take a tenth of a second. */
  compile(layout: Layout, pass: Pass): GPUComputePipeline {
    const key = shaderKey(pass);
    let found = this.#ready.get(key);
    if (!found) {
      found = this.#device.createComputePipeline(this.#describe(layout, pass));
      this.#ready.set(key, found);
    }
    return found;
  }

  /** As `compile`, beside other work. @throws GpuError if the driver refuses the shader. */
  compileAsync(layout: Layout, pass: Pass): Promise<GPUComputePipeline> {
    const key = shaderKey(pass);
    let coming = this.#coming.get(key);
    if (!coming) {
      coming = this.#device.createComputePipelineAsync(this.#describe(layout, pass)).then(
        (pipeline) => {
          this.#ready.set(key, pipeline);
          return pipeline;
        },
        (error: Error) => {
          this.#coming.delete(key);
          throw new GpuError(`the driver refused the shader '${pass.shader}': ${error.message}. Please report it.`);
        },
      );
      this.#coming.set(key, coming);
    }
    return coming;
  }

  #describe(layout: Layout, pass: Pass): GPUComputePipelineDescriptor {
    const module = this.#device.createShaderModule({
      label: pass.shader,
      code: shaderText(layout, pass, this.banks, this.#guardsLoops),
    });
    return { label: pass.shader, layout: this.#pipelineLayout, compute: { module, entryPoint: 'main' } };
  }
}
