import { testPlaces } from './place.ts';
import { BUN } from './processes.ts';

testPlaces(BUN);
