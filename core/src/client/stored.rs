//! From the record in a pull response to the message that the user gets.

use std::io::Read;

use bytes::{Buf, Bytes};
use flate2::read::ZlibDecoder;

use crate::message::{property, sys_flag, Name, OffsetId, Properties, StoredMessage};
use crate::record::RecordView;
use crate::{Error, ErrorKind, Result};

/// A compressed body that would unpack to more than this is refused: 16 times what a broker takes by default.
const MAX_UNPACKED: u64 = 64 << 20;

/// What the messages that a broker sends together have in common.
pub(super) struct Common {
    pub broker: Name,
    /// The topic, where the caller knows it; otherwise it is that of the record, or the one it was retried from.
    pub topic: Option<Name>,
}

/// Reads a record that a broker sent; `bytes` hold it alone.
pub(super) fn stored_message(bytes: Bytes, broker: &str) -> Result<StoredMessage> {
    message_of(bytes, &Common { broker: broker.into(), topic: None })
}

/// As [`stored_message`], one of several.
pub(super) fn message_of(mut bytes: Bytes, common: &Common) -> Result<StoredMessage> {
    let record = RecordView::parse(&bytes)?;
    let wrong = |kind, what: String| {
        let place = format!("{} queue {} at {}", record.topic(), record.queue_id(), common.broker);
        Error::new(kind, "read message", format!("{place}, offset {}: {what}", record.queue_offset()))
    };
    if !record.body_crc_matches() {
        return Err(wrong(
            ErrorKind::Corrupt,
            "the body does not have the checksum it was stored with".into(),
        ));
    }
    let unpacked = match record.sys_flag() & sys_flag::COMPRESSED {
        0 => None,
        _ => Some(unpack(record.body(), record.sys_flag()).map_err(|(kind, what)| wrong(kind, what))?),
    };
    let properties = Properties::parse(record.properties());
    // A message that was sent back stands in the retry topic, and is the user's under its own.
    let own = || properties.get(property::RETRY_TOPIC).unwrap_or(record.topic()).into();
    let topic = common.topic.clone().unwrap_or_else(own);
    let offset_id = OffsetId { host: record.store_host(), physical_offset: record.physical_offset() };
    let message = StoredMessage {
        topic,
        body: Bytes::new(),
        flag: record.flag(),
        broker_name: common.broker.clone(),
        queue_id: record.queue_id(),
        queue_offset: record.queue_offset(),
        physical_offset: record.physical_offset(),
        offset_id: offset_id.into_text(),
        sys_flag: record.sys_flag(),
        born_timestamp: record.born_timestamp(),
        born_host: record.born_host(),
        store_timestamp: record.store_timestamp(),
        reconsume_times: record.reconsume_times(),
        properties,
    };
    // The body is what is left of the record: nobody else is told of its memory.
    let range = record.body_range();
    bytes.truncate(range.end);
    bytes.advance(range.start);
    Ok(StoredMessage { body: unpacked.unwrap_or(bytes), ..message })
}

/// The body as it was before it was compressed; never more than [`MAX_UNPACKED`] bytes.
pub(crate) fn unpack(body: &[u8], flags: i32) -> Result<Bytes, (ErrorKind, String)> {
    match flags & sys_flag::COMPRESSION_MASK {
        0 | sys_flag::COMPRESSION_ZLIB => read_all("zlib", ZlibDecoder::new(body)),
        sys_flag::COMPRESSION_LZ4 => read_all("LZ4", lz4_flex::frame::FrameDecoder::new(body)),
        sys_flag::COMPRESSION_ZSTD => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body).and_then(|mut decoder| {
                decoder.window_log_max(MAX_UNPACKED.ilog2())?;
                Ok(decoder)
            });
            let what = |error| (ErrorKind::Internal, format!("zstd cannot be set up: {error}"));
            read_all("zstd", decoder.map_err(what)?)
        }
        other => {
            let what = format!("compressed by method {other:#x}; zlib, LZ4 and zstd are understood");
            Err((ErrorKind::Unsupported, what))
        }
    }
}

fn read_all(method: &str, reader: impl Read) -> Result<Bytes, (ErrorKind, String)> {
    let mut unpacked = Vec::new();
    let read = reader.take(MAX_UNPACKED + 1).read_to_end(&mut unpacked);
    read.map_err(|error| {
        (ErrorKind::Corrupt, format!("the body is compressed by {method} and does not unpack: {error}"))
    })?;
    if unpacked.len() as u64 > MAX_UNPACKED {
        let what = format!("the body unpacks to more than {MAX_UNPACKED} bytes");
        return Err((ErrorKind::LimitExceeded, what));
    }
    Ok(unpacked.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NewRecord;
    use flate2::{write::ZlibEncoder, Compression};
    use std::io::Write;

    fn record(body: &[u8], sys_flag: i32, properties: &[u8]) -> Bytes {
        let record = NewRecord {
            topic: "T",
            queue_id: 3,
            flag: 7,
            sys_flag,
            born_timestamp: 1,
            born_host: "10.0.0.1:5".parse().unwrap(),
            store_host: "10.0.0.2:10911".parse().unwrap(),
            reconsume_times: 2,
            prepared_transaction_offset: 0,
            body,
            properties,
        };
        record.encode(41, 1000, 99).into()
    }

    fn packed(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(5));
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_fields_arrive() {
        let bytes = record(b"body", 0, b"TAGS\x01A\x02KEYS\x01k1 k2\x02x\x01y\x02UNIQ_KEY\x01ID\x02");
        let message = stored_message(bytes, "broker-a").unwrap();
        assert_eq!((message.body.as_ref(), message.topic.as_str()), (b"body".as_slice(), "T"));
        assert_eq!((message.queue_id, message.queue_offset, message.physical_offset), (3, 41, 1000));
        assert_eq!((message.flag, message.reconsume_times, message.store_timestamp), (7, 2, 99));
        assert_eq!((message.tag(), message.message_id()), (Some("A"), "ID"));
        assert_eq!(message.keys().collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!(message.user_properties().collect::<Vec<_>>(), [("x", "y")]);
        assert_eq!(message.offset_id, "0A00000200002A9F00000000000003E8");
    }

    #[test]
    fn a_retried_message_has_its_own_topic_and_one_without_id_that_of_its_place() {
        let message = stored_message(record(b"b", 0, b"RETRY_TOPIC\x01Orders\x02"), "b").unwrap();
        assert_eq!(message.topic, "Orders");
        assert_eq!(message.message_id(), message.offset_id);
    }

    #[test]
    fn compressed_bodies_unpack() {
        let body = vec![5; 10_000];
        for flags in [0x1, 0x301] {
            assert!(stored_message(record(&packed(&body), flags, b""), "b").unwrap().body == body);
        }
        let error = stored_message(record(&packed(&body), 0x401, b""), "b").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        for flags in [0x1, 0x101, 0x201, 0x301] {
            let error = stored_message(record(b"not packed", flags, b""), "b").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.context().contains("T queue 3 at b, offset 41"), "{error}");
        }
    }

    /// The bodies are what the compressors of rocketmq-common 5.3.3 make of the same text.
    #[test]
    fn what_apaches_compressors_made_unpacks_and_half_of_it_does_not() {
        let text: String = (0..)
            .flat_map(|n| format!("order {} paid; ", n % 97).into_bytes())
            .map(char::from)
            .take(20_000)
            .collect();
        let bodies: [(&[u8], i32); 3] = [
            (include_bytes!("../../tests/fixtures/client/body.zlib"), 0x301),
            (include_bytes!("../../tests/fixtures/client/body.lz4"), 0x101),
            (include_bytes!("../../tests/fixtures/client/body.zstd"), 0x201),
        ];
        for (packed, flags) in bodies {
            assert!(stored_message(record(packed, flags, b""), "b").unwrap().body == text, "{flags:#x}");
            let torn = &packed[..packed.len() / 2];
            let error = stored_message(record(torn, flags, b""), "b").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    }

    #[test]
    fn bombs_and_torn_bodies_are_refused() {
        let zeros = vec![0; MAX_UNPACKED as usize + 1];
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&zeros).unwrap();
        let bombs = [
            (packed(&zeros), 0x1),
            (lz4.finish().unwrap(), 0x101),
            (zstd::encode_all(&zeros[..], 1).unwrap(), 0x201),
        ];
        for (bomb, flags) in bombs {
            let error = stored_message(record(&bomb, flags, b""), "b").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        }
        let mut bytes = record(b"body", 0, b"").to_vec();
        let at = bytes.windows(4).position(|window| window == b"body").unwrap();
        bytes[at] ^= 1;
        assert_eq!(stored_message(bytes.into(), "b").unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
