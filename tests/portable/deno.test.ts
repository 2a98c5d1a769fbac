import { testPlaces } from './place.ts';
import { DENO } from './processes.ts';

testPlaces(DENO);
