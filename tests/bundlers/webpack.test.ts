import { testApp } from './apps.ts';

testApp('webpack', [{ name: 'index' }, { name: 'external', wasm: 1 }, { name: 'url', wasm: 1 }]);
