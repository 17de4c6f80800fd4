//! The key index: whatever stands in a file of it, everything in the log is served.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| common::all_is_served("index", data));
