import { after } from 'node:test';
import { CHROMIUM_PLACES, closeBrowsers } from './browsers.ts';
import { testPlaces } from './place.ts';

after(closeBrowsers);
testPlaces(CHROMIUM_PLACES);
