export { flash, flashScratchBytes } from './flash/flash';
export { flashPack } from './flash/pack';
export { probeFma, probeRead, probeTrap } from './probe/peak';
