//! Any bytes behind a sound length: read or refused. What is read is written and read again as the same.
#![no_main]

use ferromq::wire::{Frame, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(data);
    let Ok(frame) = Frame::decode(&bytes) else { return };
    let mut again = Vec::new();
    frame.encode(&mut again).expect("a frame that was read fits a frame");
    let copy = Frame::decode(&again).expect("what was written is a frame");
    assert_eq!(copy.fields, frame.fields);
    assert_eq!((copy.code, copy.opaque, copy.body), (frame.code, frame.opaque, frame.body));

    let Ok(request) = Request::decode(&frame) else { return };
    again.clear();
    request
        .encode(frame.encoding, frame.opaque, frame.is_oneway(), &mut again)
        .expect("a request fits a frame");
    let copy = Frame::decode(&again).expect("what was written is a frame");
    assert_eq!(Request::decode(&copy).expect("what was written is a request"), request);
});
