//! The tables below `config`: nothing panics, and what is read is read again from what is written.

#![no_main]

use ferromq::wire::body::{
    ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, SubscriptionGroupWrapper,
    TopicConfigSerializeWrapper,
};
use ferromq::wire::json;
use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;
use serde::Serialize;

fn read<T: DeserializeOwned + Serialize>(text: &[u8]) {
    let Ok(table) = json::from_slice::<T>(text) else { return };
    let written = serde_json::to_vec(&table).unwrap();
    let again = json::from_slice::<T>(&written).unwrap_or_else(|error| panic!("{error}"));
    // Maps have no order.
    let value = |table: &T| serde_json::to_value(table).unwrap();
    assert_eq!(value(&again), value(&table));
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, text)) = data.split_first() else { return };
    match kind % 4 {
        0 => read::<TopicConfigSerializeWrapper>(text),
        1 => read::<SubscriptionGroupWrapper>(text),
        2 => read::<ConsumerOffsetSerializeWrapper>(text),
        _ => read::<DelayOffsetSerializeWrapper>(text),
    }
});
