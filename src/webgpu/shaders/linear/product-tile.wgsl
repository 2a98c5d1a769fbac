// Products of 64 rows and 64 columns, sixteen terms at a time, by 128 threads: thread 16 m + n has rows 4 m to 4 m + 3, those 32 further
// on, and columns 4 n to 4 n + 3.

// sixteen vectors a term: of all rows, and of all columns
var<workgroup> leftTile: array<vec4f, 256>;
var<workgroup> rightTile: array<vec4f, 256>;
// four columns of each of the thread's rows
var<private> sums: array<vec4f, 8>;

// Shares the next terms, of which each thread brings vectors t and t + 128.
fn shareTerms(t: u32, la: vec4f, lb: vec4f, ra: vec4f, rb: vec4f) {
  workgroupBarrier();
  leftTile[t] = la;
  leftTile[t + 128u] = lb;
  rightTile[t] = ra;
  rightTile[t + 128u] = rb;
}

// Adds the products of what is shared.
fn addProducts(t: u32) {
  workgroupBarrier();
  for (var r = 0u; r < 256u; r += 16u) {
    let x = leftTile[r + t / 16u];
    let y = leftTile[r + t / 16u + 8u];
    let columns = rightTile[r + t % 16u];
    @unroll for (var e = 0u; e < 4u; e++) {
      sums[e] = fma(vec4f(x[e]), columns, sums[e]);
      sums[e + 4u] = fma(vec4f(y[e]), columns, sums[e + 4u]);
    }
  }
}
