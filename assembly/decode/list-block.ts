/** Keys of a list that are scored before their values are mixed. */
export const LIST_BLOCK: i32 = 128;
/** Bytes of one row of their scores. */
export const LIST_ROW: usize = (<usize>LIST_BLOCK) << 2;
