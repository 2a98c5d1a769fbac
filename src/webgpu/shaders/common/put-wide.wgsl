// Four floats at a multiple of 16 bytes, all of which exist, one after another.

fn get4(at: u32, step: u32, n: u32) -> vec4f { return loadF4(at); }
fn put4(at: u32, step: u32, x: vec4f, n: u32) { storeF4(at, x); }
