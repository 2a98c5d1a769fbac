'use client';

import { useEffect } from 'react';
import { KVCache } from 'wattn/cache';
import { attention, blockMask, createRuntime } from 'wattn/external';
import { report } from '../../report.js';

const modules = {
  simd: () => fetch(new URL('wattn/simd.wasm', import.meta.url)),
  relaxed: () => fetch(new URL('wattn/relaxed.wasm', import.meta.url)),
};

export default function Page() {
  useEffect(() => {
    globalThis.report ??= report({ attention, blockMask, createRuntime, KVCache }, { modules });
  }, []);
  return <p>wattn</p>;
}
