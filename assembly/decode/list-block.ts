/** Keys of a list that are scored before their values are mixed: whole tiles, and eights for the softmax. */
export const LIST_BLOCK: i32 = 120;
/** Bytes of one row of their scores: room for one vector past them. */
export const LIST_ROW: usize = 512;
/** Keys that are scored at a time: as many as the build has accumulators for. */
export const LIST_KEYS: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 4;
