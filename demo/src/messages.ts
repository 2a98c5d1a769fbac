/**
 * What the page and its worker say to each other.
 *
 * @module
 */
import type { Explanation } from 'wattn/explain';

/** What a method's outputs are set against: dense attention up to each query's own place, or of all pairs. */
export type Against = 'causal' | 'full';

/** A method, as the page shows it. */
export interface MethodCard {
  readonly id: string;
  readonly label: string;
  /** Heading that it stands under. */
  readonly family: string;
  /** Function of the package, and what the registry says of it. */
  readonly op: string;
  readonly doc: string;
  readonly paper: string;
  /** Left out where the outputs mean something of their own. */
  readonly against?: Against | undefined;
}

/** A picture of which keys each query sees, all heads, one after another. */
export interface Visibility {
  /** 1 where query row sees key column, [heads, T, T]; one head where all see alike. */
  readonly pairs: Uint8Array;
  readonly heads: number;
  /** Rows and columns of the blocks that it is made of; 1 where single tokens are chosen. */
  readonly queryBlock: number;
  readonly keyBlock: number;
  /** What it is and what it counts. */
  readonly title: string;
  readonly note: string;
}

/** Everything that is shown of one method on one text. */
export interface PictureResult {
  readonly length: number;
  readonly heads: number;
  /** Weight of key column in query row, [heads, T, T], found by unit values; -0 and below occur where methods erase. */
  readonly weights: Float32Array;
  readonly visibility?: Visibility | undefined;
  /** The call, as it could be written. */
  readonly call: string;
  readonly explanation: Explanation;
  readonly milliseconds: number;
}

/** One method at one length. */
export interface RacePoint {
  readonly method: string;
  readonly length: number;
  /** Median milliseconds of a call, and of how many samples. */
  readonly milliseconds: number;
  readonly samples: number;
  /** Most bytes that the call held beyond its operands, its results counted. */
  readonly bytes: number;
  /** Relative root mean square distance from dense attention. */
  readonly error?: number | undefined;
  /** How the output was checked, or why nothing could be measured. */
  readonly check: string;
  /** Whether it passed; points that did not are not drawn. */
  readonly passed: boolean;
}

/** What was found out about the device. */
export interface DeviceReport {
  readonly [name: string]: string | number | boolean;
}

/** Jobs of the worker: what each is given, tells on the way, and gives. */
export interface Jobs {
  catalog: { given: object; result: readonly MethodCard[]; event: never };
  picture: { given: { tokens: Uint32Array; method: string; block: number }; result: PictureResult; event: never };
  race: {
    given: { tokens: Uint32Array; methods: readonly string[]; lengths: readonly number[]; block: number };
    result: { readonly threads: number };
    event: RacePoint;
  };
  device: { given: object; result: DeviceReport; event: never };
}

/** Names of jobs. */
export type JobName = keyof Jobs;

/** What the page posts. */
export interface Order<J extends JobName = JobName> {
  readonly id: number;
  readonly job: J;
  readonly given: Jobs[J]['given'];
}

/** How far a job is. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly label: string;
}

/** What the worker posts. */
export type Answer =
  | { readonly id: number; readonly progress: Progress }
  | { readonly id: number; readonly event: unknown }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly failure: string };
