//! params LinearParams
//! extra slot: u32, perSequence: u32, kp: u32, left: u32, keys: u32, decays: u32
//! use group, storage, linear-slots, decay, pair, row4, linear-plain, linear-prepare-body
