/**
 * A GPU device: asked for with the limits and features that kernels can use, none of which they need.
 *
 * @module
 */
import { UnsupportedError } from '../errors.ts';

/** What `navigator.gpu` is; a program of Node passes Dawn's. */
export interface Gpu {
  requestAdapter(options?: { powerPreference?: 'low-power' | 'high-performance' }): Promise<unknown>;
  readonly wgslLanguageFeatures?: { has(name: string): boolean };
}

/** What a device is and has. */
export interface GpuFacts {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Whether the adapter computes on the processor. */
  readonly software: boolean;
  /** Threads of a subgroup where kernels may use them and their number is fixed; 0 otherwise. */
  readonly subgroup: number;
  /** Whether the implementation puts a guard against endlessness into every loop of a shader. */
  readonly guardsLoops: boolean;
  /** Whether shaders have dot products of packed 8-bit integers. */
  readonly packedDot: boolean;
  /** Bytes of memory that a workgroup shares. */
  readonly workgroupBytes: number;
  /** Most threads of a workgroup. */
  readonly workgroupThreads: number;
  /** Most workgroups along one axis of a dispatch. */
  readonly mostGroups: number;
  /** Most bytes that a kernel sees of one buffer, and most buffers that it sees at once. */
  readonly bindingBytes: number;
  readonly bindings: number;
}

/** A device with what is known of it. */
export interface GpuDevice {
  /** A GPUDevice; not by its type, which those who use the package may not have. */
  readonly device: object;
  readonly facts: GpuFacts;
}

/** Limits that are raised as far as the adapter goes. */
const RAISED = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

/** The platform's own WebGPU. @throws UnsupportedError where there is none. */
function platformGpu(): Gpu {
  const found = (globalThis as { navigator?: { gpu?: Gpu } }).navigator?.gpu;
  if (found) return found;
  throw new UnsupportedError(
    'this platform has no navigator.gpu: pass { gpu }, such as the one of the npm package webgpu in Node, serve the page over ' +
      "https, or ask for the backend 'wasm'",
  );
}

/**
 * Asks for a device.
 *
 * @throws UnsupportedError where there is no WebGPU, no adapter or no device.
 */
export async function requestDevice(gpu: Gpu = platformGpu()): Promise<GpuDevice> {
  if (typeof gpu?.requestAdapter !== 'function') {
    throw new UnsupportedError('the object given as { gpu } has no requestAdapter: expected what navigator.gpu is');
  }
  const adapter = (await gpu.requestAdapter({ powerPreference: 'high-performance' })) as GPUAdapter | null;
  if (!adapter) {
    throw new UnsupportedError(
      "WebGPU is there, but has no adapter: the driver may be missing or on the browser's block list. Ask for the backend 'wasm'",
    );
  }
  const { info, limits, features } = adapter;
  const subgroups = features.has('subgroups');
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      label: 'wattn',
      requiredFeatures: subgroups ? ['subgroups' as GPUFeatureName] : [],
      requiredLimits: Object.fromEntries(RAISED.map((name) => [name, limits[name]])),
    });
  } catch (error) {
    throw new UnsupportedError(
      `the adapter '${info.description || info.vendor}' gave no device: ${(error as Error).message}`,
    );
  }
  const fixed = subgroups && info.subgroupMinSize === info.subgroupMaxSize ? (info.subgroupMinSize ?? 0) : 0;
  return {
    device,
    facts: {
      vendor: info.vendor,
      architecture: info.architecture,
      description: info.description,
      software:
        info.isFallbackAdapter === true ||
        /swiftshader|llvmpipe|lavapipe/i.test(`${info.architecture} ${info.description}`),
      subgroup: fixed,
      // wgpu does, and tells vendors by number or not at all
      guardsLoops: !/[a-z]/i.test(info.vendor),
      packedDot: gpu.wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') === true,
      workgroupBytes: device.limits.maxComputeWorkgroupStorageSize,
      workgroupThreads: Math.min(
        device.limits.maxComputeInvocationsPerWorkgroup,
        device.limits.maxComputeWorkgroupSizeX,
      ),
      mostGroups: device.limits.maxComputeWorkgroupsPerDimension,
      bindingBytes: Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize),
      bindings: device.limits.maxStorageBuffersPerShaderStage,
    },
  };
}
