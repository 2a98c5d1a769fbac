/**
 * What the page and its worker say to each other.
 *
 * @module
 */
import type { Explanation } from 'wattn/explain';
import type { Generated } from '../../examples/generate.ts';

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

/** A method that may attend in the layers of a trained model. */
export interface AttentionCard {
  readonly name: string;
  /** Heading that it stands under. */
  readonly family: string;
  /** Whether a number of keys bears on it. */
  readonly budgeted: boolean;
  /** What of a text it bears on. */
  readonly note: string;
}

/** What attends in the layers that do: the model's own attention where nothing is said. */
export interface AttentionChoice {
  /** One method in all of them. */
  readonly method?: { readonly name: string; readonly budget: number };
  /** JSON that says which method attends in which layer. */
  readonly plan?: string;
}

/** A text to be continued. */
export interface GenerationOrder {
  /** A model's safetensors file. */
  readonly model: Blob;
  readonly attention: AttentionChoice;
  readonly prompt: string;
  /** Bytes to add. */
  readonly bytes: number;
  readonly temperature: number;
  readonly seed: number;
}

/** What is told of a text when it is there. */
export interface GenerationResult extends Pick<Generated, 'prefill' | 'decode'> {
  /** Name and sizes of the model. */
  readonly model: string;
  /** What attended in which layer. */
  readonly attends: string;
  /** Bytes of caches and states behind the last token. */
  readonly memory: number;
  readonly threads: number;
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
  attentions: { given: object; result: readonly AttentionCard[]; event: never };
  /** Events are the text as it comes. */
  generate: { given: GenerationOrder; result: GenerationResult; event: string };
}

/** Names of jobs. */
export type JobName = keyof Jobs;

/** How long jobs take: between its steps a job lets those go first that are shorter. */
export const DURATION: Readonly<Record<JobName, number>> = {
  catalog: 0,
  attentions: 0,
  picture: 0,
  device: 0,
  generate: 1,
  race: 2,
};

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
