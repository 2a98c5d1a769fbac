// The segment of a table that a workgroup goes through: the same for all of its threads, so that loops over it may have barriers.

var<workgroup> segmentWords: vec4i;

struct SegmentOf { row: u32, length: u32, initial: i32, state: u32 }

// Segment number `index` of the table at `table`: five words each.
fn segmentAt(table: u32, index: u32, t: u32) -> SegmentOf {
  if (t == 0u) { segmentWords = bitcast<vec4i>(loadU4(table + index * 20u)); }
  let words = workgroupUniformLoad(&segmentWords);
  return SegmentOf(u32(words.x), u32(words.y), words.z, u32(words.w));
}

// Whether a sequence begins with it.
fn segmentIsFirst(table: u32, index: u32) -> bool { return loadI(table + index * 20u + 16u) != 0; }
