import { WattnError } from '../../errors.ts';
import type { Problem } from './problem.ts';

/** One implementation of a problem, ready to be called again and again on the same inputs. */
export interface Contender {
  name: string;
  /** one call, as a user would make it, or `calls` of them */
  run(): unknown;
  /** calls that `run` makes, for those of microseconds; times are of one. 1 by default */
  calls?: number;
  /** the result of one call, in the problem's own layout, for the check */
  output(): Promise<ArrayLike<number>> | ArrayLike<number>;
  /** what its time includes or leaves out */
  note?: string;
  dispose?(): unknown;
}

/** Another package that solves the same problems. */
export interface Peer {
  name: string;
  version: string;
  /** A contender for a problem, or undefined where the package has none or would take minutes. */
  prepare(problem: Problem): Promise<Contender | undefined>;
}

/** What bench/peers/index.ts exports. */
export interface PeerModule {
  loadPeers(threads: number): Promise<Peer[]>;
}

/** The peers of the repository's bench folder are not there: wattn was installed as a package, or development packages are missing. */
export class PeersMissingError extends WattnError {}

/**
 * Loads the peers. They are development packages of the repository and no part of wattn, so this needs a checkout.
 * @throws PeersMissingError
 */
export async function loadPeers(threads: number): Promise<Peer[]> {
  // from src/cli/bench and from build/cli/bench alike
  const url = new URL('../../../bench/peers/index.ts', import.meta.url).href;
  try {
    const module = (await import(url).catch(async (error) => {
      if (error?.code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error;
      // Node 20 does not load TypeScript by itself
      const loader = 'tsx/esm/api';
      return (await import(loader)).tsImport(url, import.meta.url);
    })) as PeerModule;
    return await module.loadPeers(threads);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new PeersMissingError(
      `--peers compares with packages that only a checkout of the wattn repository has: ${(error as Error).message}; clone the repository and run npm ci there`,
    );
  }
}
