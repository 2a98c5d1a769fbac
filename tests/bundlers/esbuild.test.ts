import { testApp } from './apps.ts';

testApp('esbuild', [{ name: 'index' }, { name: 'external', wasm: 1 }, { name: 'binary', variant: 'simd' }]);
