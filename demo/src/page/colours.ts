/**
 * Colours of pictures and lines, for light and dark pages.
 *
 * @module
 */
import { isDark } from './theme.ts';

type Colour = readonly [red: number, green: number, blue: number];

const colour = (hex: string): Colour => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as never;

/** From nothing to the most; of negative weights below. */
const RAMPS = {
  light: {
    above: ['fbfaf7', 'cfe2e6', '7db5c6', '2d7f9d', '0f5070', '062a40'].map(colour),
    below: ['fbfaf7', 'f6e0c6', 'eab676', 'd4812f', '9c4f12', '5f2b07'].map(colour),
  },
  dark: {
    above: ['14191c', '193542', '1f607a', '3a97b5', '8ad0e2', 'eefaff'].map(colour),
    below: ['14191c', '402a17', '7a4a1a', 'bd762a', 'efb570', 'fff1de'].map(colour),
  },
};

/** 256 steps of a ramp, red, green and blue one after another. */
function steps(ramp: readonly Colour[]): Uint8Array {
  const bytes = new Uint8Array(256 * 3);
  for (let n = 0; n < 256; ++n) {
    const at = (n / 255) * (ramp.length - 1);
    const low = Math.min(ramp.length - 2, Math.floor(at));
    for (let c = 0; c < 3; ++c) {
      bytes[3 * n + c] = Math.round(ramp[low]![c]! + (at - low) * (ramp[low + 1]![c]! - ramp[low]![c]!));
    }
  }
  return bytes;
}

/** Writes the colour of a number from -1 to 1 as a pixel. */
export type Painter = (value: number, pixels: Uint8ClampedArray, at: number) => void;

/** A painter for the page as it is now. Small numbers are lifted by a square root: most weights are small. */
export function painter(): Painter {
  const { above, below } = RAMPS[isDark() ? 'dark' : 'light'];
  const [positive, negative] = [steps(above), steps(below)];
  return (value, pixels, at) => {
    const ramp = value < 0 ? negative : positive;
    const step = 3 * Math.round(255 * Math.sqrt(Math.min(1, Math.abs(value))));
    pixels[at] = ramp[step]!;
    pixels[at + 1] = ramp[step + 1]!;
    pixels[at + 2] = ramp[step + 2]!;
    pixels[at + 3] = 255;
  };
}

const LINES = {
  light: ['#17638f', '#c23b4e', '#1f8a51', '#a85a12', '#7346ad', '#007f86', '#b3266f', '#66741a', '#3f4a8a', '#7a5a4a'],
  dark: ['#6fb9e4', '#f08291', '#67c995', '#e5a45c', '#b795ea', '#5cc9cd', '#ee82b9', '#b9c763', '#99a5ee', '#cfae9c'],
};
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];

/** Stroke and dashes of the n-th line. */
export function lineStyle(n: number): { stroke: string; dash: number[] } {
  const strokes = LINES[isDark() ? 'dark' : 'light'];
  // neighbours differ in dashes too, for eyes that take their colours for one
  return { stroke: strokes[n % strokes.length]!, dash: DASHES[(n + Math.floor(n / strokes.length)) % DASHES.length]! };
}
