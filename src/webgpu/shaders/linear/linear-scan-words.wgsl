//! params LinearParams
//! extra slot: u32, slots: u32, perSequence: u32, kp: u32, vp: u32, stateBytes: u32, states: u32, decays: u32, blocks: u32
//! use group, linear-slots, linear-scan-body, put-words
