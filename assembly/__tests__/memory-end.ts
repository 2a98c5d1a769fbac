let end: usize = 0;

/** Address of `bytes` bytes, 1 MiB at most, behind which the memory ends: a read past them traps. Each call reuses them. */
export function atMemoryEnd(bytes: usize): usize {
  // pages grown here stay out of the heap's books; its own growth moves the end away, and ours after it
  if ((<usize>memory.size()) << 16 != end) {
    memory.grow(17);
    end = (<usize>memory.size()) << 16;
  }
  // operands need 16-byte alignment at most, and only the packed ones, whose sizes are multiples of 16
  return end - bytes;
}
