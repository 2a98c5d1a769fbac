//! params LinearParams
//! extra slot: u32, perSequence: u32, kp: u32, vp: u32, stateBytes: u32, left: u32, states: u32
//! use group, storage, linear-slots, decay, linear-outputs-body, put-wide
