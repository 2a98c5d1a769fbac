import { attention, blockMask, createRuntime } from 'wattn';
import { KVCache } from 'wattn/cache';
import { report } from './report.js';

globalThis.report = report({ attention, blockMask, createRuntime, KVCache }, {});
