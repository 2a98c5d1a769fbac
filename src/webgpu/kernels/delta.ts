/**
 * Delta rules, and what prepares their operands.
 *
 * @module
 */
import { DeltaParams, PrecondParams, RowProductsParams, TriSolveParams } from '../../generated/params.ts';
import { type Fields, gpuKernel, groupsOf, type Pass, type PlanCall } from '../kernel.ts';

/** Threads of shaders with one thread for each element. */
const THREADS = 256;
/** Columns of the state of a workgroup, and threads that share one. */
const STRIP = 4;
const SPLIT = 16;
/** Tokens whose rows lie in workgroup memory, at most; vectors of these rows; bytes beside them. */
const MOST_TOKENS = 32;
const CAPACITY = 768;
const LARGE_CAPACITY = 1280;
const OTHER_BYTES = 3584;

/** Every token in its turn. */
function recurrent(p: Fields<typeof DeltaParams>, { facts, refuse }: PlanCall): Pass[] {
  let rows = 1;
  while (rows * SPLIT * 4 < p.dk) rows *= 2;
  // places of the rows of a token: k, q, and those that are there
  let kinds = 2;
  const erase = p.a ? kinds++ : 0;
  const along = p.b ? kinds++ : 0;
  const gates = p.gateKind === 2 ? kinds++ : 0;
  const vectors = kinds * rows * SPLIT;
  const roomy = LARGE_CAPACITY * 16 + OTHER_BYTES <= facts.workgroupBytes;
  const capacity = Math.max(roomy ? LARGE_CAPACITY : CAPACITY, vectors);
  if (capacity * 16 + OTHER_BYTES > facts.workgroupBytes) {
    refuse(
      `a delta rule with keys of ${p.dk} elements on a device with ${facts.workgroupBytes} bytes of workgroup memory`,
    );
  }
  const tokens = Math.min(MOST_TOKENS, Math.floor(capacity / vectors));
  return [
    {
      shader: 'delta',
      constants: { ROWS: rows, CAPACITY: capacity, TOKENS: MOST_TOKENS },
      extra: { tokens, kinds, erase, along, gates },
      groups: p.sequenceCount * p.heads * groupsOf(p.dv, STRIP),
    },
  ];
}

export const delta = {
  delta: gpuKernel(DeltaParams, recurrent),
  deltaStep: gpuKernel(DeltaParams, recurrent),
  rowProducts: gpuKernel(RowProductsParams, (p, { items }) => [
    { shader: 'row-products', groups: groupsOf(items * p.heads * p.d, THREADS), extra: { items } },
  ]),
  precondTerms: gpuKernel(PrecondParams, (p, { items }) => [
    { shader: 'precond-terms', groups: groupsOf(items * p.heads * p.d, THREADS), extra: { items } },
  ]),
  precondKeys: gpuKernel(PrecondParams, (p, { items }) => [
    { shader: 'precond-keys', groups: groupsOf(items * p.heads * p.d, THREADS), extra: { items } },
  ]),
  triSolve: gpuKernel(TriSolveParams, (_, { items }) => [{ shader: 'tri-solve', groups: items }]),
};
