//! Any bytes as a body in fastjson's JSON: read or refused, and strict JSON keeps its meaning.
#![no_main]

use ferromq::message::batch;
use ferromq::wire::body::{ConsumeStats, HeartbeatData, RegisterBrokerBody, TopicRouteData};
use ferromq::wire::json;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let lenient = json::from_slice::<Value>(data);
    if let Ok(strict) = serde_json::from_slice::<Value>(data) {
        if !data.windows(4).any(|window| window == b"$ref") {
            assert_eq!(lenient.expect("strict JSON is read"), strict);
        }
    }
    let _ = json::from_slice::<HeartbeatData>(data);
    let _ = json::from_slice::<TopicRouteData>(data);
    if let Ok(stats) = json::from_slice::<ConsumeStats>(data) {
        let again =
            json::from_slice::<ConsumeStats>(&json::to_old_vec(&stats)).expect("what was written is read");
        assert_eq!(again.offset_table, stats.offset_table);
    }
    let _ = RegisterBrokerBody::decode(data, data.len() % 2 == 0, 401);
    assert!(batch::items(data).count() <= data.len());
});
