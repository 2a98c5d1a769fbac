import { testApp } from './apps.ts';

testApp('rollup', [{ name: 'index' }, { name: 'external', wasm: 1 }]);
