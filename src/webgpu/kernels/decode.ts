/**
 * Attention of a few queries on a long cache or on lists of keys, and results over some keys joined.
 *
 * @module
 */
import {
  CodeDecodeParams,
  DecodeParams,
  IndexAttendParams,
  MergePartsParams,
  MergeStateParams,
  QuantizeParams,
  StorePagesParams,
  TensorProductParams,
} from '../../generated/gpu-params.ts';
import { storageBytes } from '../../tensor.ts';
import { type Fields, gpuKernel, type PlanCall } from '../kernel.ts';

const THREADS = 128;
/** Most vectors of sums that a thread of attend-keys keeps. */
const MOST_SUMS = 8;
/** Most query rows that a workgroup takes through its keys together. */
const MOST_ROWS = 8;
/** Keys whose scores come before their values: of one row more, for fewer barriers. */
const CHUNK = 128;
const CHUNK_OF_ONE = 256;
/** Bytes of partial results of lists that lie in memory at once. */
const PARTIAL_BYTES = 2 ** 25;
/** Workgroups that keep a GPU busy, and the most parts that a list is cut into for them. */
const BUSY_GROUPS = 2048;
const MOST_SPLITS = 32;

/** What of a call decides how its keys and values are read. */
interface CacheFields {
  readonly dk: number;
  readonly dv: number;
  readonly k: number;
  readonly kStrideB: number;
  readonly kStrideT: number;
  readonly kStrideH: number;
  readonly kType: number;
  readonly v: number;
  readonly vStrideB: number;
  readonly vStrideT: number;
  readonly vStrideH: number;
  readonly vType: number;
  readonly kRest: number;
  readonly kRestStrideB: number;
  readonly kRestStrideT: number;
  readonly kRestDim: number;
}

const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(Math.max(1, n)));
const isWide = (bytes: number, ...places: number[]) => places.every((x) => (x * bytes) % 16 === 0);

/** Vectors of four of a row that the partial results of `dv` columns take. */
export function partialBytes(dv: number): number {
  return Math.ceil(dv / 8) * 32 + 32;
}

/** Lanes of a workgroup that lie along rows of so many vectors. */
export function lanesOf(vectors: number): number {
  return Math.min(THREADS, Math.max(8, powerOfTwo(vectors)));
}

/** The constants of attend-keys for up to `rows` query rows that share their keys. */
export function attendConstants(p: CacheFields, rows: number, { facts }: Pick<PlanCall, 'facts'>) {
  const kBytes = storageBytes(p.kType);
  const vBytes = storageBytes(p.vType);
  const own = p.dk - p.kRestDim;
  const kWide =
    p.k % 16 === 0 &&
    isWide(kBytes, p.kStrideB, p.kStrideT, p.kStrideH, own) &&
    (!p.kRest || (p.kRest % 16 === 0 && isWide(kBytes, p.kRestStrideB, p.kRestStrideT, p.kRestDim)));
  const vWide = p.v % 16 === 0 && isWide(vBytes, p.vStrideB, p.vStrideT, p.vStrideH, p.dv);
  const kVectors = kWide ? 4 / kBytes : 1;
  const kUnits = Math.ceil(p.dk / (4 * kVectors));
  // narrow values come in smaller units where many rows need the registers
  const shapes = [8, 4, 2, 1]
    .filter((n) => n <= MOST_ROWS && n <= powerOfTwo(rows))
    .flatMap((n) => (vWide ? [4, 2, 1].filter((x) => x <= 4 / vBytes) : [1]).map((x) => [n, x] as const))
    .map(([n, vVectors]) => {
      const vUnits = Math.ceil(p.dv / (4 * vVectors));
      const vLanes = lanesOf(vUnits);
      const vPasses = Math.ceil(vUnits / vLanes);
      const chunk = n === 1 ? CHUNK_OF_ONE : CHUNK;
      return {
        SERIAL: false,
        ROWS: n,
        CHUNK: chunk,
        Q_VECTORS: n * kVectors * kUnits,
        WEIGHTS: n * chunk,
        PARTS: Math.max(n * 64 * 9, n * vVectors * vPasses * 4 * THREADS),
        K_TYPE: p.kType,
        K_WIDE: kWide,
        K_VECTORS: kVectors,
        K_UNITS: kUnits,
        V_TYPE: p.vType,
        V_WIDE: vWide,
        V_VECTORS: vVectors,
        V_UNITS: vUnits,
        V_PASSES: vPasses,
        V_LANES: vLanes,
        SUMS: n * vVectors * vPasses,
      };
    });
  const bytesOf = ({ ROWS, CHUNK: chunk, Q_VECTORS, WEIGHTS, PARTS }: (typeof shapes)[number]) =>
    Q_VECTORS * 16 + (WEIGHTS + PARTS + 5 * chunk + ROWS) * 4 + THREADS * 4 + 64;
  const fits = shapes.find((shape) => shape.SUMS <= MOST_SUMS && bytesOf(shape) <= facts.workgroupBytes);
  return fits ?? shapes.at(-1)!;
}

/** Query rows of a subgroup's keys: their elements and sums stay in registers. */
const LANE_ROWS = 4;

/** How a call goes through its keys: by subgroups where rows are whole units of 16 bytes and not too many, else by workgroups. */
export function attendPass(p: CacheFields, rows: number, call: Pick<PlanCall, 'facts'>) {
  const constants = attendConstants(p, rows, call);
  const [kVectors, vVectors] = [4 / storageBytes(p.kType), 4 / storageBytes(p.vType)];
  const units = [p.dk / (4 * kVectors), p.dv / (4 * vVectors)] as const;
  const LANES = Math.max(4, powerOfTwo(Math.max(...units)));
  const fits = constants.K_WIDE && constants.V_WIDE && rows <= LANE_ROWS && LANES <= call.facts.subgroup;
  if (!fits) return { constants, parts: ['attend-keys', 'cache-units'] as const };
  const queries = p.kType === 3 && call.facts.packedDot ? 'lane-codes' : 'lane-floats';
  return {
    parts: ['attend-lanes', queries] as const,
    constants: {
      ROWS: powerOfTwo(rows),
      K_TYPE: p.kType,
      K_VECTORS: kVectors,
      K_UNITS: units[0],
      V_TYPE: p.vType,
      V_VECTORS: vVectors,
      V_UNITS: units[1],
      LANES,
      // as many bytes on their way for a thread, whatever the type: fewer leave memory idle, more leave room for fewer threads
      // a driver that computes on the processor has nothing on its way, and compiles every key's copy of the text for seconds
      KEYS: call.facts.software ? 2 : kVectors === 1 && vVectors === 1 ? 4 : 8,
    },
  };
}

/** Whether scores are more than products: most calls have no rules, and their text is repeated for every key and row. */
function hasRules(p: Fields<typeof DecodeParams>): boolean {
  return [p.softcap, p.bias, p.mask, p.keyBias, p.alibiSlopes, p.hasSelfScore].some((x) => x !== 0);
}

/** Keys and values that are made of something else, four elements at a time. */
function unitsOfFour(dk: number, dv: number): CacheFields {
  const k = {
    k: 0,
    kStrideB: 0,
    kStrideT: 0,
    kStrideH: 0,
    kType: 0,
    kRest: 0,
    kRestStrideB: 0,
    kRestStrideT: 0,
    kRestDim: 0,
  };
  return { dk, dv, ...k, v: 0, vStrideB: 0, vStrideT: 0, vStrideH: 0, vType: 0 };
}

export const decode = {
  decode: gpuKernel(DecodeParams, (p, call) => {
    const { constants: shape, parts } = attendPass(p, p.rows, call);
    const tiles = Math.ceil(p.rows / shape.ROWS);
    const constants = { ...shape, RULES: hasRules(p) };
    return [{ shader: 'decode', parts, constants, groups: call.items * tiles, extra: { tiles }, memory: 'wide' }];
  }),
  decodeMerge: gpuKernel(DecodeParams, (p, { items }) => [
    { shader: 'decode-merge', constants: { LANES: lanesOf(Math.ceil(p.dv / 4)) }, groups: items },
  ]),
  indexAttend: gpuKernel(IndexAttendParams, (p, call) => {
    const { constants: shape, parts } = attendPass(p, p.rows, call);
    const constants = { ...shape, RULES: p.softcap !== 0 || p.entryBias !== 0 };
    const tiles = Math.ceil(p.rows / constants.ROWS);
    const slots = call.items * p.blockQ;
    const splits = Math.max(1, Math.min(MOST_SPLITS, powerOfTwo(BUSY_GROUPS / Math.max(1, slots * tiles))));
    const slotBytes = p.rows * splits * partialBytes(p.dv);
    const most = Math.max(1, Math.floor(PARTIAL_BYTES / slotBytes));
    const partials = call.scratch(Math.min(slots, most) * slotBytes);
    const merge = { LANES: lanesOf(Math.ceil(p.dv / 4)) };
    return Array.from({ length: Math.ceil(slots / most) }, (_, part) => {
      const first = part * most;
      const count = Math.min(most, slots - first);
      const extra = { tiles, splits, first: first * tiles * splits, partials };
      return [
        { shader: 'index-attend', parts, constants, groups: count * tiles * splits, extra, memory: 'wide' },
        { shader: 'index-merge', constants: merge, groups: count * p.rows, extra: { ...extra, first } },
      ] as const;
    }).flat();
  }),
  codeDecode: gpuKernel(CodeDecodeParams, (p, call) => {
    const shape = attendConstants(unitsOfFour(p.dk, p.dv), p.rows, call);
    const constants = { ...shape, RULES: hasRules(p), SERIAL: true, TURNED: p.cos !== 0 };
    const tiles = Math.ceil(p.rows / constants.ROWS);
    const parts = ['attend-keys', 'code-units'] as const;
    return [{ shader: 'decode', parts, constants, groups: call.items * tiles, extra: { tiles }, memory: 'wide' }];
  }),
  quantizeRows: gpuKernel(QuantizeParams, (_, { items }) => [{ shader: 'quantize-rows', groups: items }]),
  dequantizeRows: gpuKernel(QuantizeParams, (p, { items }) => [{ shader: 'dequantize-rows', groups: items * p.heads }]),
  tensorProduct: gpuKernel(TensorProductParams, (p, call) => {
    const { ROWS, V_VECTORS, V_UNITS, V_PASSES, V_LANES, SUMS } = attendConstants(unitsOfFour(4, p.dv), p.heads, call);
    const rowsQ = p.aQ ? p.rankQ : ROWS;
    const PARTS = SUMS * 4 * THREADS;
    const bytes = (PARTS + (rowsQ + 2 * ROWS) * 64 + THREADS) * 4;
    if (bytes > call.facts.workgroupBytes) call.refuse(`tensor products of rank ${p.rankQ} on this device`);
    const tiles = Math.ceil(p.heads / ROWS);
    const shape = {
      ROWS,
      WEIGHTS: ROWS * 64,
      PRODUCTS: rowsQ * 64,
      PARTS,
      V_VECTORS,
      V_UNITS,
      V_PASSES,
      V_LANES,
      SUMS,
    };
    const constants = { ...shape, RULES: true };
    const groups = call.items * p.queries * tiles;
    return [{ shader: 'tensor-product', constants, groups, extra: { tiles }, memory: 'wide' }];
  }),
  storePages: gpuKernel(StorePagesParams, (p, { items, refuse }) => {
    const rowBytes = p.d * storageBytes(p.type);
    if (rowBytes % 4 !== 0) refuse(`pages with rows of ${rowBytes} bytes, which are no whole words`);
    return [{ shader: 'store-pages', constants: { D: p.d }, groups: 2 * items * p.heads }];
  }),
  mergeState: gpuKernel(MergeStateParams, (_, { items }) => [{ shader: 'merge-state', groups: items }]),
  mergeParts: gpuKernel(MergePartsParams, (_, { items }) => [{ shader: 'merge-parts', groups: items }]),
};
