/**
 * How threads that share a row of a tile reach each other.
 *
 * @module
 */
import type { GpuFacts } from '../device.ts';

/** The part for `lanes` neighbours of a workgroup's threads: subgroups where they are sure to be in one. */
export function lanesPart({ subgroup }: GpuFacts, threads: number, lanes: number): 'lanes-subgroup' | 'lanes-shared' {
  return subgroup >= lanes && threads >= subgroup ? 'lanes-subgroup' : 'lanes-shared';
}
