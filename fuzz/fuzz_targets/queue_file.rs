//! Consume queues: whatever stands in one of their files, what is served is what was sent, in its place.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| common::no_other_is_served("consumequeue", data));
