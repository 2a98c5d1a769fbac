/**
 * The runtime on a GPU: one buffer, and a shader for each pass of a kernel.
 *
 * @module
 */
import { BusyError, DeviceLostError, GpuError, HostAccessError, UnsupportedError } from '../errors.ts';
import { Allocator, type MemoryReport } from '../runtime/allocator.ts';
import { storeAs } from '../runtime/narrow.ts';
import { type Dispatch, type HostBytes, Runtime } from '../runtime/runtime.ts';
import { bytesOf, type DType, type Tensor, type TensorData, type TensorView, viewOf } from '../tensor.ts';
import { bankBinding } from './banks-text.ts';
import { type Gpu, type GpuDevice, type GpuFacts, requestDevice } from './device.ts';
import { GpuMemory, type Transfers } from './gpu-memory.ts';
import { fieldsOf, type GpuKernel, type Pass } from './kernel.ts';
import { GPU_KERNELS } from './kernels/index.ts';
import { Pipelines } from './pipelines.ts';
import { extraFields } from './shader-text.ts';

/** What this device supports and what a runtime on a GPU uses. */
export interface WebGpuInfo {
  readonly backend: 'webgpu';
  readonly variant: 'wgsl';
  /** Why this backend. */
  readonly backendReason: string;
  readonly gpu: GpuFacts;
  /** Compiled pipelines, and buffers that are alive. */
  readonly pipelines: number;
  readonly buffers: number;
  readonly transfers: Transfers;
  readonly memory: MemoryReport;
}

/** A pass with the params of its kernel. */
interface Planned {
  readonly kernel: GpuKernel;
  readonly params: Int32Array;
  readonly pass: Pass;
}

/** First address that may be handed out: 0 stands for what is absent. */
const START = 256;
/** Params of a pass lie at multiples of this in the uniform buffer. */
const SLOT = 256;
/** Bytes of a slot that a shader may see. */
const SLOT_BYTES = 1024;
/** Passes of one submission. */
const MOST_PASSES = 256;
/** Integers on the host up to this many bytes are kept there too: plans read lengths and tables. */
const KEPT_BYTES = 2 ** 20;

/** What writes parts of words: no kernel of a program. */
const PATCH: GpuKernel = { layout: [], passes: () => [] };

/** A runtime whose kernels run on a GPU. */
export class GpuRuntime extends Runtime {
  readonly backend = 'webgpu';
  readonly variant = 'wgsl';
  readonly threads = 1;
  readonly #gpu: Gpu | undefined;
  #reason: string;
  #device: GPUDevice;
  #facts: GpuFacts;
  readonly #memory: GpuMemory;
  #pipelines: Pipelines;
  #uniforms: GPUBuffer;
  #bound: { changes: number; group: GPUBindGroup } | undefined;
  #scratch = { at: 0, bytes: 0 };
  #queue: Promise<void> | undefined;
  #rebuilding: Promise<void> | undefined;
  /** Counts devices. */
  #epoch = 0;
  /** Why the device is gone, or what it refused; empty while all is well. */
  #lost = '';
  #refused = '';

  /** Runtimes are made by `createRuntime`. */
  constructor(given: GpuDevice, options: { gpu?: Gpu; limit: number; reason: string }) {
    const failed = (reason: string) => this.#lose(reason);
    const memory = new GpuMemory(given.device, given.facts, options.limit, failed);
    super(new Allocator(memory, START));
    this.#gpu = options.gpu;
    this.#reason = options.reason;
    this.#memory = memory;
    const device = given.device as GPUDevice;
    this.#device = device;
    this.#facts = given.facts;
    this.#pipelines = new Pipelines(device, memory.banks, given.facts.guardsLoops);
    this.#uniforms = uniformBuffer(device);
    this.#watch();
  }

  /** @internal Says why this backend was taken. */
  explainBackend(reason: string): void {
    this.#reason = reason;
  }

  /** What the device is and has. */
  get facts(): GpuFacts {
    return this.#facts;
  }

  get buffer(): ArrayBufferLike {
    throw new HostAccessError(
      'the memory of this runtime is a GPU buffer, which the host cannot see: tensors have data() and write()',
    );
  }

  info(): WebGpuInfo {
    return {
      backend: 'webgpu',
      variant: 'wgsl',
      backendReason: this.#reason,
      gpu: this.#facts,
      pipelines: this.#pipelines.count,
      buffers: this.#memory.buffers + 1,
      transfers: this.#memory.transfers,
      memory: this.memory(),
    };
  }

  /** Waits until the GPU has done all that it was given. @throws GpuError, DeviceLostError */
  async ready(): Promise<void> {
    await this.#queue?.catch(() => {});
    this.check();
    const { queue, lost } = this.#device;
    await this.#onDevice(() => Promise.race([queue.onSubmittedWorkDone(), lost]));
  }

  /**
   * Takes a new device after the old one was lost. What tensors held is gone: using one that was made before is a
   * DeviceLostError, and it takes up room until it is disposed. Calls that are in flight fail.
   *
   * @throws UnsupportedError if there is no device; the runtime then stays as lost as it was.
   */
  rebuild(): Promise<void> {
    this.#rebuilding ??= this.#rebuild().finally(() => {
      this.#rebuilding = undefined;
    });
    return this.#rebuilding;
  }

  async #rebuild(): Promise<void> {
    super.check();
    this.#epoch += 1;
    this.#lost ||= 'rebuild() was called';
    this.#release();
    const { device: given, facts } = await requestDevice(this.#gpu);
    const device = given as GPUDevice;
    if (this.disposed) device.destroy();
    super.check();
    this.#memory.reopen(device, facts);
    this.allocator.lose();
    this.#device = device;
    this.#facts = facts;
    this.#pipelines = new Pipelines(device, this.#memory.banks, facts.guardsLoops);
    this.#uniforms = uniformBuffer(device);
    this.#bound = undefined;
    this.#lost = '';
    this.#refused = '';
    this.#watch();
  }

  poison(): void {
    const fill = new Uint8Array(2 ** 20).fill(0xff);
    const spans = this.allocator.free();
    if (this.#scratch.bytes > 0) spans.push([this.#scratch.at, this.#scratch.at + this.#scratch.bytes]);
    for (const [begin, end] of spans) {
      for (let at = begin; at < end; at += fill.length) this.#memory.write(at, fill.subarray(0, end - at));
    }
  }

  probe(): number {
    throw new UnsupportedError("probe() measures the calling thread; 'wattn bench' measures a GPU");
  }

  write(at: number, data: ArrayBufferView): void {
    this.check();
    this.#put(at, data, false);
  }

  clear(at: number, bytes: number): void {
    this.check();
    if (bytes > 0) this.#memory.clear(at, bytes);
  }

  move(to: number, from: number, bytes: number): void {
    this.check();
    if (bytes > 0) this.#memory.move(to, from, bytes);
  }

  override tensor(data: TensorData, shape: readonly number[], dtype?: DType): Tensor {
    const tensor = super.tensor(data, shape, dtype);
    const bytes = tensor.size * bytesOf(tensor.dtype);
    if ((tensor.dtype === 'i32' || tensor.dtype === 'u8') && bytes <= KEPT_BYTES) {
      const { buffer, byteOffset } = staged(data, tensor);
      tensor.block.host = new Uint8Array(buffer.slice(byteOffset, byteOffset + bytes));
    }
    return tensor;
  }

  store(tensor: Tensor, data: TensorData): void {
    this.check();
    const { block, address } = tensor;
    const values = staged(data, tensor);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const at = address - block.at;
    // nothing lies between the end of a block and the next line
    this.#put(address, bytes, at + bytes.length === block.bytes);
    block.host?.set(bytes, at);
  }

  hostBytes(tensor: Tensor): HostBytes {
    const { block, address } = tensor;
    if (block.host) return { buffer: block.host.buffer, at: address - block.at };
    throw new HostAccessError(
      `the elements of this tensor of shape [${tensor.shape}] lie on the GPU: use await data(), and the asynchronous form of ` +
        'operations that have to read it',
      tensor,
    );
  }

  async readBack(at: number, bytes: number): Promise<HostBytes> {
    this.check();
    await this.#queue?.catch(() => {});
    this.check();
    return this.#onDevice(() => this.#memory.read(at, bytes));
  }

  scratchBytes(): number {
    return 0;
  }

  threadsFor(): number {
    return 1;
  }

  runSync(dispatches: readonly Dispatch[]): void {
    this.check();
    if (this.#queue !== undefined) {
      throw new BusyError(
        'a synchronous call was made while an asynchronous call of the same runtime is in flight. Await that call first, ' +
          'or use the asynchronous form, which waits its turn.',
      );
    }
    this.#submit(this.#plan(dispatches));
  }

  async run(dispatches: readonly Dispatch[]): Promise<void> {
    this.check();
    // scratch that grows is not given away while a pass still names it
    this.allocator.pin();
    try {
      await this.#runPlanned(this.#plan(dispatches));
    } finally {
      this.allocator.unpin();
    }
  }

  async #runPlanned(planned: readonly Planned[]): Promise<void> {
    const pipelines = this.#current();
    const missing = planned.filter(({ pass }) => !pipelines.find(pass));
    if (missing.length === 0 && this.#queue === undefined) {
      this.#submit(planned);
      return;
    }
    const before = this.#queue;
    const turn = this.#onDevice(async () => {
      await Promise.all(missing.map(({ kernel, pass }) => pipelines.compileAsync(kernel.layout, pass)));
      await before?.catch(() => {});
    }).then(() => this.#submit(planned));
    this.#queue = turn;
    try {
      await turn;
    } finally {
      if (this.#queue === turn) this.#queue = undefined;
    }
  }

  protected close(): void {
    this.#release();
  }

  protected owns(): boolean {
    return false;
  }

  /** @throws DisposedError, DeviceLostError, or GpuError with what the device refused since the last call. */
  protected override check(): void {
    super.check();
    if (this.#lost !== '') throw lostError(this.#lost);
    if (this.#refused !== '') {
      const reason = this.#refused;
      this.#refused = '';
      throw new GpuError(`the GPU refused work of an earlier call: ${reason}`);
    }
  }

  /**
   * Waits for something of the device of now, and for what the device says of itself meanwhile.
   *
   * @throws DeviceLostError, DisposedError, GpuError; or what `work` throws, if the device has no part in it.
   */
  async #onDevice<R>(work: () => Promise<R>): Promise<R> {
    const epoch = this.#epoch;
    const device = this.#device;
    const check = () => {
      this.check();
      if (epoch !== this.#epoch) throw lostError('it was replaced by rebuild() while the call was in flight');
    };
    try {
      const result = await work();
      check();
      return result;
    } catch (error) {
      // the reason of a loss comes a turn later than its effects
      await Promise.race([device.lost, new Promise((resolve) => setTimeout(resolve, 50))]);
      check();
      throw error;
    }
  }

  /** Copies bytes to any address. @param padded whether the bytes up to the end of the last word are of no use. */
  #put(at: number, data: ArrayBufferView, padded: boolean): void {
    const { buffer, byteOffset, byteLength } = data;
    const source = new Uint8Array(buffer, byteOffset, byteLength);
    // from `from` on, whole words up to `to`
    const from = Math.min(byteLength, -at & 3);
    const to = padded ? byteLength : from + ((byteLength - from) & ~3);
    if (to > from) this.#memory.write(at + from, source.subarray(from, to));
    this.#patch(at, source.subarray(0, from));
    this.#patch(at + to, source.subarray(to));
    this.#memory.countUpload(byteLength);
  }

  /** Replaces some bytes of one word. */
  #patch(at: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const [mask, bits] = [new Uint8Array(4), new Uint8Array(4)];
    mask.fill(0xff, at & 3, (at & 3) + bytes.length);
    bits.set(bytes, at & 3);
    const word = ({ buffer }: Uint8Array) => new Uint32Array(buffer)[0]!;
    const extra = { at: at - (at & 3), mask: word(mask), bits: word(bits) };
    const pass: Pass = { shader: 'patch', groups: 1, extra };
    this.#submit([{ kernel: PATCH, params: new Int32Array(0), pass }]);
  }

  /** The passes of dispatches, in order. @throws UnsupportedError before anything has run. */
  #plan(dispatches: readonly Dispatch[]): Planned[] {
    const planned: Planned[] = [];
    for (const { kernel: name, params, items } of dispatches) {
      const kernel = GPU_KERNELS[name];
      const refuse = (what: string): never => {
        throw new UnsupportedError(`not on WebGPU: ${what}. Use a runtime with the backend 'wasm' for this call.`);
      };
      if (!kernel) return refuse(`the kernel '${name}' has no shader`);
      let used = 0;
      const scratch = (bytes: number) => {
        const from = used;
        used += Math.ceil(bytes / 64) * 64;
        return this.#reserve(used) + from;
      };
      // planning again gives the same addresses once the scratch is large enough for all of them
      const plan = () => {
        used = 0;
        return kernel.passes(fieldsOf(kernel.layout, params), { items, facts: this.#facts, scratch, refuse });
      };
      const had = this.#scratch.at;
      let passes = plan();
      if (this.#scratch.at !== had) passes = plan();
      for (const pass of passes) if (pass.groups > 0) planned.push({ kernel, params, pass });
    }
    return planned;
  }

  /** Address of scratch that dispatches use one after another. */
  #reserve(bytes: number): number {
    if (bytes > this.#scratch.bytes) {
      const larger = { at: this.allocator.allocate(bytes), bytes };
      // what was planned before and not yet submitted still names the old one: queued work keeps it until its turn is over
      if (this.#scratch.bytes > 0) this.allocator.release(this.#scratch.at);
      this.#scratch = larger;
    }
    return this.#scratch.at;
  }

  #submit(planned: readonly Planned[]): void {
    for (let from = 0; from < planned.length; from += MOST_PASSES) {
      this.#submitSome(planned.slice(from, from + MOST_PASSES));
    }
  }

  #submitSome(planned: readonly Planned[]): void {
    const device = this.#device;
    const { mostGroups } = this.#facts;
    const slots = new Int32Array((planned.length * SLOT_BYTES) / 4);
    const offsets: number[] = [];
    let end = 0;
    for (const { kernel, params, pass } of planned) {
      offsets.push(end);
      const image = slots.subarray(end / 4);
      image.set(params);
      // a merge takes the params of the kernel before it, whose class may go on
      writeExtra(image, kernel.layout.length, pass);
      const bytes = (kernel.layout.length + extraFields(pass.shader).length) * 4;
      end += Math.ceil(bytes / SLOT) * SLOT;
    }
    device.queue.writeBuffer(this.#uniforms, 0, slots.buffer, 0, end);
    const encoder = device.createCommandEncoder();
    const compute = encoder.beginComputePass();
    const pipelines = this.#current();
    const group = this.#bindGroup(pipelines);
    planned.forEach(({ kernel, pass }, i) => {
      // compiled before, unless the call is synchronous, or the memory came to be of more buffers meanwhile
      compute.setPipeline(pipelines.compile(kernel.layout, pass));
      compute.setBindGroup(0, group, [offsets[i]!]);
      const rows = Math.ceil(pass.groups / mostGroups);
      compute.dispatchWorkgroups(Math.ceil(pass.groups / rows), rows);
    });
    compute.end();
    device.queue.submit([encoder.finish()]);
  }

  /** Pipelines for the memory as it is: other shaders see one of more buffers. */
  #current(): Pipelines {
    const { banks } = this.#memory;
    if (this.#pipelines.banks.count !== banks.count)
      this.#pipelines = new Pipelines(this.#device, banks, this.#facts.guardsLoops);
    return this.#pipelines;
  }

  #bindGroup({ layout }: Pipelines): GPUBindGroup {
    const { changes } = this.#memory;
    if (this.#bound?.changes !== changes) {
      const entries = [
        ...this.#memory.bound.map((buffer, i) => {
          return { binding: bankBinding(i), resource: { buffer: buffer as GPUBuffer } };
        }),
        { binding: 1, resource: { buffer: this.#uniforms, size: SLOT_BYTES } },
      ];
      this.#bound = { changes, group: this.#device.createBindGroup({ layout, entries }) };
    }
    return this.#bound.group;
  }

  /** Notes what the device says of itself later. */
  #watch(): void {
    const device = this.#device;
    void device.lost.then(({ reason, message }) => {
      if (device === this.#device) this.#lose(message || reason);
    });
    device.addEventListener('uncapturederror', (event) => {
      if (device === this.#device) this.#refused ||= event.error.message;
    });
  }

  /** Takes note that what lies on the device is gone. */
  #lose(reason: string): void {
    if (!this.disposed) this.#lost ||= reason.replace(/\.+$/, '');
  }

  #release(): void {
    this.#memory.destroy();
    this.#uniforms.destroy();
    this.#device.destroy();
  }
}

function lostError(reason: string): DeviceLostError {
  return new DeviceLostError(
    `the GPU device was lost: ${reason}. Call rebuild() on the runtime and make its tensors anew.`,
  );
}

function uniformBuffer(device: GPUDevice): GPUBuffer {
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  return device.createBuffer({ label: 'wattn params', size: (MOST_PASSES + 1) * SLOT_BYTES, usage });
}

/** Writes the extra fields of a pass behind its params. */
function writeExtra(image: Int32Array, at: number, { shader, extra, groups }: Pass): void {
  const floats = new Float32Array(image.buffer, image.byteOffset, image.length);
  extraFields(shader).forEach(([name, type], i) => {
    const value = name === 'groups' ? groups : extra?.[name];
    if (value === undefined) throw new Error(`shader '${shader}' lacks its field ${name}`);
    if (type === 'f32') floats[at + i] = value;
    else image[at + i] = value;
  });
}

/** Numbers as the bytes of a tensor's type. */
function staged(data: TensorData, { dtype, size }: Tensor): TensorView {
  const fits =
    (dtype === 'f32' && data instanceof Float32Array) ||
    (dtype === 'i32' && data instanceof Int32Array) ||
    (dtype === 'u8' && data instanceof Uint8Array) ||
    (dtype === 'i8' && data instanceof Int8Array) ||
    ((dtype === 'f16' || dtype === 'bf16') && data instanceof Uint16Array);
  if (fits) return data as TensorView;
  const view = viewOf(new ArrayBuffer(size * bytesOf(dtype)), dtype, 0, size);
  storeAs(data, dtype, view);
  return view;
}
