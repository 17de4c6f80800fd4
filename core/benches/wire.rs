//! Prints what the codec costs on the way of a message, in nanoseconds. `cargo bench -p ferromq --bench wire`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ferromq::message::OffsetId;
use ferromq::wire::{
    Encoding, Frame, MessageIds, PullMessageResponse, Request, Response, SendMessageResponse,
};

/// Frame of a Java client 5.3.3: escapes in the properties.
const SEND: &str = concat!(
    r#"{"code":310,"extFields":{"a":"Wx_pg_basic","b":"WxBasic","c":"TBW102","d":"4","e":"1","f":"0","#,
    r#""g":"1795255708189","h":"0","i":"p0\u0001v0\u0002KEYS\u0001k0\u0002UNIQ_KEY\u0001"#,
    r#"C000020246144E0E2F2A692C421B0000\u0002WAIT\u0001true\u0002","j":"0","k":"false","m":"false","n":"broker-fx"},"#,
    r#""flag":0,"language":"JAVA","opaque":136,"serializeTypeCurrentRPC":"JSON","version":479}"#
);
const PULL: &str = concat!(
    r#"{"code":11,"extFields":{"queueId":"3","maxMsgBytes":"262144","maxMsgNums":"32","sysFlag":"2","#,
    r#""suspendTimeoutMillis":"15000","commitOffset":"0","bname":"broker-fx","topic":"WxConc","queueOffset":"0","#,
    r#""expressionType":"TAG","subVersion":"1795255724354","consumerGroup":"Wx_cg_conc"},"flag":0,"#,
    r#""language":"JAVA","opaque":321,"serializeTypeCurrentRPC":"JSON","version":479}"#
);

fn main() {
    let send = frame(SEND, &[b'x'; 128]);
    let plain = frame(&SEND.replace("\\u0001", "-").replace("\\u0002", "-"), &[b'x'; 128]);
    let pull = frame(PULL, &[]);
    decode("send", &send);
    decode("send without escapes", &plain);
    decode("pull", &pull);
    for (name, json) in [("send, binary", &send), ("pull, binary", &pull)] {
        let request = Frame::decode(json).unwrap();
        let mut binary = Vec::new();
        Frame { encoding: Encoding::Binary, ..request }.encode(&mut binary).unwrap();
        decode(name, &binary);
    }
    encode_responses();
}

fn frame(header: &str, body: &[u8]) -> Vec<u8> {
    let mut frame = ((header.len() + body.len() + 4) as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
    frame.extend_from_slice(header.as_bytes());
    frame.extend_from_slice(body);
    frame
}

fn decode(name: &str, bytes: &[u8]) {
    measure(&format!("decode {name}: frame"), || {
        black_box(Frame::decode(black_box(bytes)).unwrap());
    });
    measure(&format!("decode {name}: typed"), || {
        let frame = Frame::decode(black_box(bytes)).unwrap();
        black_box(Request::decode(&frame).unwrap());
    });
}

fn encode_responses() {
    let region: Arc<str> = "DefaultRegion".into();
    let mut out = Vec::with_capacity(1 << 12);
    let sent = Response::ok().with_header(SendMessageResponse {
        msg_id: MessageIds::One(OffsetId {
            host: "127.0.0.1:10911".parse().unwrap(),
            physical_offset: 123_456_789,
        }),
        queue_id: 3,
        queue_offset: 4_711,
        transaction_id: Some("C000020246144E0E2F2A692C421B0000".into()),
        batch_uniq_id: None,
        recall_handle: None,
        msg_region: Some(region.clone()),
        trace_on: Some(true),
    });
    let pulled =
        Response::ok().with_body(vec![Bytes::from_static(&[0; 1024])]).with_header(PullMessageResponse {
            suggest_which_broker_id: 0,
            next_begin_offset: 4_743,
            min_offset: 0,
            max_offset: 123_456,
            offset_delta: None,
            topic_sys_flag: Some(0),
            group_sys_flag: Some(0),
            forbidden_type: None,
        });
    for (name, response) in [("send", &sent), ("pull", &pulled)] {
        for encoding in [Encoding::Json, Encoding::Binary] {
            measure(&format!("encode the answer to a {name}, {encoding:?}"), || {
                out.clear();
                black_box(black_box(response).encode_head(encoding, 136, &mut out));
            });
        }
    }
}

/// The fastest of many short rounds: what is slower was disturbed.
fn measure(name: &str, mut work: impl FnMut()) {
    const CALLS: u32 = 1_000;
    let round = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    let best = (0..1_000).map(|_| round(&mut work)).fold(f64::MAX, f64::min);
    println!("{name:<45} {best:6.0} ns");
}
