//! use score-rules, cache-rows
//! const RULES
// What a workgroup attends to: keys of one key/value head of a sequence, for some query rows. Without RULES a score is a product.

var<private> sequence: Sequence;
var<private> kvHead: i32;
// rows with a query
var<private> live: u32;

var<workgroup> keyRange: vec2u;
