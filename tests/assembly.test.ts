// The wasm builds as a host finds them: what they export, and what instantiating one does to a memory.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type ASUtil, instantiateSync } from '@assemblyscript/loader';
import { ARENA_START, KERNELS, SCRATCH_MEASURES } from '../src/generated/kernels.ts';
import { MEASURE_ROOM } from '../src/runtime/control.ts';
import { availableVariants } from './runtimes.ts';

