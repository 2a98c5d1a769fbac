import type { BenchCase } from './case.ts';
import { attentionCases } from './cases/attention.ts';
import { chosenTokenCases } from './cases/chosen-tokens.ts';
import { deltaCases } from './cases/delta.ts';
import { linearCases } from './cases/linear.ts';
import { matmulCases } from './cases/matmul.ts';
import { pathCases } from './cases/path.ts';
import { scanCases } from './cases/scan.ts';
import { sparseCases } from './cases/sparse.ts';

/** Every case of `wattn bench`, in the order of the report. */
export const benchCases: BenchCase[] = [
  ...attentionCases,
  ...matmulCases,
  ...linearCases,
  ...deltaCases,
  ...scanCases,
  ...pathCases,
  ...sparseCases,
  ...chosenTokenCases,
];
