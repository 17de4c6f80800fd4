use proptest::prelude::*;

use super::*;

fn host(v6: bool, port: u16) -> SocketAddr {
    let ip = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::new(10, 1, 2, 3).into() };
    SocketAddr::new(ip, port)
}

fn sample<'a>(topic: &'a str, body: &'a [u8], properties: &'a [u8]) -> NewRecord<'a> {
    NewRecord {
        topic,
        queue_id: 3,
        flag: 7,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: host(false, 50_000),
        store_host: host(false, 10_911),
        reconsume_times: 2,
        prepared_transaction_offset: 11,
        body,
        properties,
    }
}

#[test]
fn the_smallest_record_has_the_size_of_the_reference() {
    let bytes = sample("T", b"", b"").encode(0, 0, 1);
    assert_eq!(bytes.len(), MIN_RECORD + 1);
    assert!(RecordView::parse(&bytes).unwrap().body_crc_matches());
}

#[test]
fn a_long_topic_makes_version_2_and_only_that() {
    let topic = "t".repeat(128);
    let bytes = sample(&topic, b"x", b"").encode(0, 0, 1);
    assert_eq!(RecordView::parse(&bytes).unwrap().version(), 2);
    assert_eq!(RecordView::parse(&bytes).unwrap().topic(), topic);
    let bytes = sample(&topic[1..], b"x", b"").encode(0, 0, 1);
    assert_eq!(RecordView::parse(&bytes).unwrap().version(), 1);
}

#[test]
fn a_flipped_bit_in_the_body_shows_in_the_crc() {
    let mut bytes = sample("Topic", b"body", b"").encode(0, 0, 1);
    let at = bytes.windows(4).position(|window| window == b"body").unwrap();
    bytes[at] ^= 1;
    assert!(!RecordView::parse(&bytes).unwrap().body_crc_matches());
}

#[test]
fn errors_name_value_and_limit() {
    let bytes = sample("Topic", b"body", b"").encode(0, 0, 1);
    let short = RecordView::parse(&bytes[..50]).unwrap_err().to_string();
    assert!(short.contains("size 100") && short.contains("50 bytes"), "{short}");
    let blank = [&8_i32.to_be_bytes()[..], &MAGIC_BLANK.to_be_bytes()].concat();
    assert!(RecordView::parse(&blank).unwrap_err().to_string().contains("0xcbd43194"));
}

#[test]
fn a_pull_body_is_read_until_the_first_damage() {
    let mut body = sample("A", b"1", b"").encode(0, 0, 1);
    body.extend(sample("B", b"2", b"").encode(1, 200, 1));
    body.extend_from_slice(b"garbage");
    let topics: Vec<_> = records(&body).map(|record| record.map(|record| record.topic())).collect();
    assert_eq!(topics[0].as_ref().unwrap(), &"A");
    assert_eq!(topics[1].as_ref().unwrap(), &"B");
    assert!(topics[2].is_err());
    assert_eq!(topics.len(), 3);
}

proptest! {
    #[test]
    fn what_is_encoded_is_read(
        topic in "[a-zA-Z0-9_%-]{1,200}", body: Vec<u8>, properties in prop::collection::vec(any::<u8>(), 0..300),
        ints: [i32; 4], longs: [i64; 5], born_v6: bool, store_v6: bool, port: u16,
    ) {
        let new = NewRecord {
            topic: &topic, queue_id: ints[0], flag: ints[1], sys_flag: ints[2], reconsume_times: ints[3],
            born_timestamp: longs[0], prepared_transaction_offset: longs[1],
            born_host: host(born_v6, port), store_host: host(store_v6, 1), body: &body, properties: &properties,
        };
        let bytes = new.encode(longs[2], longs[3], longs[4]);
        prop_assert_eq!(bytes.len(), new.encoded_len());
        let view = RecordView::parse(&bytes).unwrap();
        let hosts = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
        prop_assert_eq!(view.topic(), &topic);
        prop_assert_eq!(view.body(), &body[..]);
        prop_assert_eq!(view.properties(), &properties[..]);
        prop_assert_eq!([view.queue_id(), view.flag(), view.reconsume_times()], [ints[0], ints[1], ints[3]]);
        prop_assert_eq!(view.sys_flag() & !hosts, ints[2] & !hosts);
        prop_assert_eq!([view.born_timestamp(), view.prepared_transaction_offset()], [longs[0], longs[1]]);
        prop_assert_eq!([view.queue_offset(), view.physical_offset(), view.store_timestamp()], [longs[2], longs[3], longs[4]]);
        prop_assert_eq!((view.born_host(), view.store_host()), (host(born_v6, port), host(store_v6, 1)));
        prop_assert!(view.body_crc_matches());
    }

    #[test]
    fn arbitrary_and_damaged_bytes_never_panic(mut bytes: Vec<u8>, at: usize, to: u8) {
        let _ = RecordView::parse(&bytes);
        bytes = sample("Topic", &bytes, b"TAGS\x01a\x02").encode(1, 2, 3);
        let at = at % bytes.len();
        bytes[at] = to;
        for record in records(&bytes).flatten() {
            let _ = (record.body_crc_matches(), record.born_host(), record.store_host(), record.property("TAGS"));
        }
        let _ = RecordView::parse(&bytes[..at]);
    }
}

proptest! {
    #[test]
    fn a_mould_makes_what_the_record_encodes_to(
        (born_v6, store_v6, long) in any::<(bool, bool, bool)>(),
        (flag, sys_flag) in any::<(i32, i32)>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
        properties in prop::collection::vec(1..=255u8, 0..40),
    ) {
        let topic = "t".repeat(if long { 200 } else { 20 });
        let record = NewRecord {
            flag,
            sys_flag,
            born_host: host(born_v6, 50_000),
            store_host: host(store_v6, 10_911),
            ..sample(&topic, &body, &properties)
        };
        let mould = Mould::new(&sample(&topic, b"another", b"other"));
        prop_assert_eq!(mould.encoded_len(1, 2), sample(&topic, b"1", b"22").encoded_len());
        let mould = Mould::new(&record);
        let mut head = mould.head(flag, sys_flag, &body, properties.len());
        place(&mut head, mould.store_timestamp_at, 5, 6, 7);
        let length = (properties.len() as i16).to_be_bytes();
        let whole = [&head[..], &body, mould.topic(), &length, &properties].concat();
        prop_assert_eq!(mould.encoded_len(body.len(), properties.len()), whole.len());
        let view = RecordView::parse(&whole).unwrap();
        let again = RecordView::again(&whole, view.layout()).unwrap();
        prop_assert_eq!((again.topic(), again.body(), again.properties()), (view.topic(), view.body(), view.properties()));
        prop_assert_eq!((again.store_host(), again.total_size()), (view.store_host(), view.total_size()));
        prop_assert!(RecordView::again(&whole[1..], view.layout()).is_none());
        prop_assert_eq!(mould.bare_tail(), [mould.topic(), &[0, 0]].concat());
        prop_assert_eq!(whole, record.encode(5, 6, 7));
    }
}
