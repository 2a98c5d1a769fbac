/**
 * Recurrences over channels that do not mix: workgroups of a few channels of one segment, which share its time.
 *
 * @module
 */
import {
  LogSumParams,
  Rwkv4Params,
  ScanCombineParams,
  ScanParams,
  SelectiveScanParams,
} from '../../generated/gpu-params.ts';
import { gpuKernel, groupsOf } from '../kernel.ts';

/** Workgroups from which on each may take a whole line of memory of a token. */
const MANY_GROUPS = 512;
/** Bytes that the selective scan shares with chunks of 64 tokens. */
const LARGE_CHUNK_BYTES = 24576;

interface Divided {
  readonly channels: number;
  readonly block: number;
}

/** Segments, or sequences, of a call's work items. */
function runsOf({ channels, block }: Divided, items: number): number {
  return items / Math.ceil(channels / block);
}

/** Workgroups of `lanes` channels. */
function scanGroups(p: Divided, items: number, lanes = 16): number {
  return runsOf(p, items) * groupsOf(p.channels, lanes);
}

const elementScan = (gated: boolean) =>
  gpuKernel(ScanParams, (p, { items }) => {
    const lanes = scanGroups(p, items, 32) >= MANY_GROUPS ? 32 : 16;
    const constants = { LANES: lanes, GATED: gated };
    return [{ shader: 'element-scan', constants, groups: scanGroups(p, items, lanes) }];
  });

export const scan = {
  hgrn: elementScan(false),
  rgLru: elementScan(true),
  scanCombine: gpuKernel(ScanCombineParams, (p, { items }) => {
    const elements = runsOf(p, items) * p.channels * p.n;
    return [{ shader: 'scan-combine', groups: groupsOf(elements, 64), extra: { elements } }];
  }),
  scanFix: gpuKernel(ScanParams, (p, { items }) => [{ shader: 'scan-fix', groups: scanGroups(p, items) }]),
  selectiveScan: gpuKernel(SelectiveScanParams, (p, { items, facts }) => {
    const large = facts.workgroupBytes >= LARGE_CHUNK_BYTES;
    const quads = p.n > 8 ? 4 : p.n > 4 || !large ? 2 : 1;
    const constants = { QUADS: quads, STEPS: large ? 4 * quads : 4 };
    return [{ shader: 'selective-scan', constants, groups: scanGroups(p, items) }];
  }),
  selectiveScanFix: gpuKernel(SelectiveScanParams, (p, { items }) => [
    { shader: 'selective-scan-fix', groups: scanGroups(p, items) },
  ]),
  rwkv4: gpuKernel(Rwkv4Params, (p, { items }) => [{ shader: 'rwkv4-scan', groups: scanGroups(p, items) }]),
  logSum: gpuKernel(LogSumParams, (p, { items }) => [{ shader: 'log-sum', groups: scanGroups(p, items) }]),
};
