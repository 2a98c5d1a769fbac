/**
 * What the tests use of a browser, whoever drives it.
 *
 * @module
 */

/** A page; what a driver cannot see is undefined. */
export interface Page {
  open(url: string): Promise<void>;
  /** Value of an expression in the page, awaited. */
  evaluate(expression: string): Promise<unknown>;
  /** Addresses that the page has asked for. */
  readonly requests?: readonly string[];
  /** Dedicated workers: how many were started, how many run now. */
  readonly workers?: { readonly started: number; readonly running: number };
  close(): Promise<void>;
}

/** A running browser. */
export interface Browser {
  readonly version: string;
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

/** A browser that may be installed. */
export interface BrowserKind {
  readonly name: string;
  /** What is not installed that it needs; empty if all is there. */
  missing(): string;
  launch(): Promise<Browser>;
}
