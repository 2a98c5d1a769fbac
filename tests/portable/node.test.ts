import { testPlaces } from './place.ts';
import { NODE } from './processes.ts';

testPlaces(NODE);
