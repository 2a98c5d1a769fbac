//! params LogLinearParams
//! extra slot: u32, length: i32, kp: u32, vp: u32, stateBytes: u32, left: u32, states: u32, decays: u32
//! use group, storage, log-slots, decay, log-outputs-body, put-words
