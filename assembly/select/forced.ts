// How columns that are chosen in any case count.
/** They are among the k, and their mass among the share. */
export const COUNTED: i32 = 0;
/** k, or the share of the others' mass, are chosen from the others. */
export const ADDED: i32 = 1;
/** The choice is from all columns as if there were none. */
export const UNION: i32 = 2;
