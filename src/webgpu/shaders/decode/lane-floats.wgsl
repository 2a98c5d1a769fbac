//! const ROWS, K_TYPE, K_VECTORS
// Query rows of attend-lanes as they are: a thread's unit of each.

var<private> q: array<array<vec4f, K_VECTORS>, ROWS>;

fn keepQuery(r: u32, x: array<vec4f, K_VECTORS>) { q[r] = x; }

// This thread's share of a query row's product with a key, of which it has the unit `key`.
fn productOf(r: u32, key: vec4u) -> f32 {
  var product = 0.0;
  @unroll for (var e = 0u; e < K_VECTORS; e++) {
    product += dot(q[r][e], vectorOf(K_TYPE, key, e));
  }
  return product;
}
