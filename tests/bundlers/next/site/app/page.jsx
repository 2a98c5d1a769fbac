'use client';

import { useEffect } from 'react';
import { attention, blockMask, createRuntime } from 'wattn';
import { KVCache } from 'wattn/cache';
import { report } from '../report.js';

// the page is rendered once in Node while it is built, where nothing of wattn may need a browser
export default function Page() {
  useEffect(() => {
    globalThis.report ??= report({ attention, blockMask, createRuntime, KVCache }, {});
  }, []);
  return <p>wattn</p>;
}
