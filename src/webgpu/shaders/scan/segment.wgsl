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

// Number of the segment of a workgroup, of which each has `lanes` channels.
fn segmentIndex(group: u32, lanes: u32) -> u32 { return group / ((u32(p.channels) + lanes - 1u) / lanes); }

struct ChannelOf {
  // place among the workgroup's channels, and among the threads of a channel
  lane: u32,
  time: u32,
  channel: u32,
  inside: bool,
  // bytes before the element of the segment's first token
  start: u32,
}

// The channel of a thread, in a segment that begins with row `row`.
fn channelAt(group: u32, lanes: u32, t: u32, row: u32) -> ChannelOf {
  let channels = u32(p.channels);
  let lane = t % lanes;
  let channel = (group % ((channels + lanes - 1u) / lanes)) * lanes + lane;
  return ChannelOf(lane, t / lanes, channel, channel < channels, (row * channels + channel) * 4u);
}
