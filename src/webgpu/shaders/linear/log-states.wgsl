//! params LogLinearParams
//! extra slot: u32, length: i32, kp: u32, vp: u32, stateBytes: u32, keys: u32, states: u32, normalizer: i32
//! use group, storage, log-slots, linear-states-body
