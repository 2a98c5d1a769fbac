import { join } from 'node:path';

export default {
  output: 'export',
  // where both Next.js and the package are found
  turbopack: { root: join(import.meta.dirname, '../../../..') },
};
