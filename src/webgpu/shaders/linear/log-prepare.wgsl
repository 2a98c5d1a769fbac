//! params LogLinearParams
//! extra slot: u32, length: i32, kp: u32, left: u32, keys: u32, decays: u32, exclusive: i32, gateKind: i32, gateGroup: i32, weight: u32, scale: f32, mode: i32
//! use group, storage, log-slots, decay, pair, row4, log-levels, linear-prepare-body
