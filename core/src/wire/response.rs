//! [`Response`]: what a server answers.

use std::borrow::Cow;

use bytes::Bytes;

use super::client::HeartBeatResponse;
use super::config::GetBrokerConfigResponse;
use super::frame::{self, Head};
use super::group::GetAllSubscriptiongroupConfigResponse;
use super::header::Header;
use super::kv::GetKvConfigResponse;
use super::namesrv::*;
use super::offset::*;
use super::pull::PullMessageResponse;
use super::query::QueryMessageResponse;
use super::send::SendMessageResponse;
use super::topic::GetAllTopicConfigResponse;
use super::{flag, DecodeError, Encoding, FieldWriter, Frame, Language, ResponseCode, VERSION};

/// A remark is for people; what is longer was put there by nobody we want to help.
const MAX_REMARK: usize = 64 * 1024;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// How the request ended.
    pub code: ResponseCode,
    /// Why, where it did not end well.
    pub remark: Option<String>,
    /// The fields.
    pub header: ResponseHeader,
    /// The body.
    pub body: Body,
}

impl Response {
    /// SUCCESS with nothing more.
    pub fn ok() -> Self {
        Response {
            code: ResponseCode::SUCCESS,
            remark: None,
            header: ResponseHeader::None,
            body: Body::Empty,
        }
    }

    /// A code with a remark that names the thing, the value and the limit.
    pub fn error(code: ResponseCode, remark: impl Into<String>) -> Self {
        Response { code, remark: Some(remark.into()), ..Response::ok() }
    }

    /// With these fields.
    pub fn with_header(mut self, header: impl Into<ResponseHeader>) -> Self {
        self.header = header.into();
        self
    }

    /// With this body.
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Appends the whole frame to `out`.
    pub fn encode(&self, encoding: Encoding, opaque: i32, out: &mut Vec<u8>) {
        if self.encode_head(encoding, opaque, out) {
            self.body.chunks().for_each(|chunk| out.extend_from_slice(chunk));
        }
    }

    /// Appends the frame without its body, of which the length is counted in, for the body to be written after it.
    /// False if the answer exceeds what a frame can hold: then a SYSTEM_ERROR was appended that says so, and no body
    /// belongs to it.
    #[must_use]
    pub fn encode_head(&self, encoding: Encoding, opaque: i32, out: &mut Vec<u8>) -> bool {
        let head = |code: ResponseCode, remark| Head {
            code: code.0,
            language: Language::RUST,
            version: VERSION,
            opaque,
            flag: flag::RESPONSE,
            remark,
        };
        let remark = self.remark.as_deref().map(cut);
        let fields = |writer: &mut FieldWriter<'_>| self.header.write(writer);
        let Err(error) = frame::write(out, encoding, &head(self.code, remark), self.body.len(), fields)
        else {
            return true;
        };
        let remark = format!("the answer cannot be sent: {error}");
        // A header with nothing but this text always fits.
        let _ = frame::write(out, encoding, &head(ResponseCode::SYSTEM_ERROR, Some(&remark)), 0, |_| {});
        false
    }
}

fn cut(remark: &str) -> &str {
    let mut end = remark.len().min(MAX_REMARK);
    while !remark.is_char_boundary(end) {
        end -= 1;
    }
    &remark[..end]
}

/// A struct that holds the fields of a response.
pub trait FromResponse: Sized {
    /// Reads the fields of a response that came in a frame.
    fn from_frame(frame: &Frame<'_>) -> Result<Self, DecodeError>;
    /// The fields of a response of this process; given back if they are another struct's.
    #[allow(clippy::result_large_err, reason = "it moves once, and a box would cost each call in process")]
    fn from_header(header: ResponseHeader) -> Result<Self, ResponseHeader>;
}

/// Defines [`ResponseHeader`] and how each struct is read from a frame.
macro_rules! responses {
    ($($name:ident($type:ty) = $code:ident,)*) => {
        /// The fields of a response.
        #[derive(Debug, Clone, PartialEq, Default)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is described with its struct")]
        pub enum ResponseHeader {
            /// No fields.
            #[default]
            None,
            $($name($type),)*
            /// Fields by their names on the wire.
            Fields(Vec<(Cow<'static, str>, String)>),
        }

        impl ResponseHeader {
            fn write(&self, writer: &mut FieldWriter<'_>) {
                match self {
                    ResponseHeader::None => {}
                    $(ResponseHeader::$name(header) => header.write(writer),)*
                    ResponseHeader::Fields(fields) => {
                        fields.iter().for_each(|(name, value)| writer.text(name, value));
                    }
                }
            }
        }

        #[cfg(test)]
        impl ResponseHeader {
            /// One of each kind, at random, and how it is read.
            #[allow(clippy::type_complexity, reason = "a list of pairs")]
            pub(super) fn samples(
                random: &mut super::sample::Random,
            ) -> Vec<(Self, fn(&Frame<'_>) -> Result<Self, DecodeError>)> {
                vec![$((
                    ResponseHeader::$name(super::sample::Sample::sample(random)),
                    |frame| <$type>::decode(frame).map(ResponseHeader::$name),
                ),)*]
            }
        }

        $(
            impl From<$type> for ResponseHeader {
                fn from(header: $type) -> Self {
                    ResponseHeader::$name(header)
                }
            }

            impl $type {
                /// Reads the fields of a response.
                pub fn decode(frame: &Frame<'_>) -> Result<Self, DecodeError> {
                    Header::read(frame, stringify!($code)).map_err(|error| *error)
                }
            }

            impl FromResponse for $type {
                fn from_frame(frame: &Frame<'_>) -> Result<Self, DecodeError> {
                    Self::decode(frame)
                }

                fn from_header(header: ResponseHeader) -> Result<Self, ResponseHeader> {
                    match header {
                        ResponseHeader::$name(header) => Ok(header),
                        other => Err(other),
                    }
                }
            }
        )*
    };
}

responses! {
    SendMessage(SendMessageResponse) = SEND_MESSAGE,
    PullMessage(PullMessageResponse) = PULL_MESSAGE,
    QueryMessage(QueryMessageResponse) = QUERY_MESSAGE,
    QueryConsumerOffset(QueryConsumerOffsetResponse) = QUERY_CONSUMER_OFFSET,
    SearchOffsetByTimestamp(SearchOffsetByTimestampResponse) = SEARCH_OFFSET_BY_TIMESTAMP,
    GetMaxOffset(GetMaxOffsetResponse) = GET_MAX_OFFSET,
    GetMinOffset(GetMinOffsetResponse) = GET_MIN_OFFSET,
    GetEarliestMsgStoretime(GetEarliestMsgStoretimeResponse) = GET_EARLIEST_MSG_STORETIME,
    HeartBeat(HeartBeatResponse) = HEART_BEAT,
    GetAllTopicConfig(GetAllTopicConfigResponse) = GET_ALL_TOPIC_CONFIG,
    GetAllSubscriptiongroupConfig(GetAllSubscriptiongroupConfigResponse) = GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
    GetBrokerConfig(GetBrokerConfigResponse) = GET_BROKER_CONFIG,
    GetKvConfig(GetKvConfigResponse) = GET_KV_CONFIG,
    RegisterBroker(RegisterBrokerResponse) = REGISTER_BROKER,
    WipeWritePermOfBroker(WipeWritePermOfBrokerResponse) = WIPE_WRITE_PERM_OF_BROKER,
    AddWritePermOfBroker(AddWritePermOfBrokerResponse) = ADD_WRITE_PERM_OF_BROKER,
    QueryDataVersion(QueryDataVersionResponse) = QUERY_DATA_VERSION,
}

/// The body of a response. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// In one piece.
    Bytes(Bytes),
    /// In several pieces: the records of a pull.
    Chunks(Vec<Bytes>),
}

impl Body {
    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.chunks().map(<[u8]>::len).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces, in order.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let chunks = match self {
            Body::Empty => &[],
            Body::Bytes(bytes) => std::slice::from_ref(bytes),
            Body::Chunks(chunks) => chunks.as_slice(),
        };
        chunks.iter().map(|chunk| &chunk[..])
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body::Bytes(bytes.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::Bytes(text.into())
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(chunks: Vec<Bytes>) -> Self {
        Body::Chunks(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::super::MessageIds;
    use super::*;
    use crate::message::OffsetId;

    #[test]
    fn an_answer_to_a_send_is_what_apache_would_write() {
        let id = |physical_offset| OffsetId { host: "127.0.0.1:10911".parse().unwrap(), physical_offset };
        let response = Response::ok().with_header(SendMessageResponse {
            msg_id: MessageIds::Many(vec![id(1), id(255)]),
            queue_id: 3,
            queue_offset: 4,
            msg_region: Some("DefaultRegion".into()),
            trace_on: Some(true),
            ..SendMessageResponse::default()
        });
        let mut bytes = Vec::new();
        response.encode(Encoding::Json, 5, &mut bytes);
        let header = concat!(
            r#"{"code":0,"extFields":{"msgId":"7F00000100002A9F0000000000000001,7F00000100002A9F00000000000000FF","#,
            r#""queueId":"3","queueOffset":"4","MSG_REGION":"DefaultRegion","TRACE_ON":"true"},"flag":1,"#,
            r#""language":"RUST","opaque":5,"serializeTypeCurrentRPC":"JSON","version":409}"#
        );
        assert_eq!(std::str::from_utf8(&bytes[8..]).unwrap(), header);
    }

    #[test]
    fn head_and_body_written_apart_are_the_whole_frame() {
        let chunks = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let response = Response::error(ResponseCode::PULL_NOT_FOUND, "why").with_body(chunks);
        for encoding in [Encoding::Json, Encoding::Binary] {
            let (mut whole, mut head) = (Vec::new(), Vec::new());
            response.encode(encoding, 1, &mut whole);
            assert!(response.encode_head(encoding, 1, &mut head));
            assert_eq!(whole, [&head[..], b"onetwo"].concat());
            let frame = Frame::decode(&whole).unwrap();
            assert_eq!((frame.response_code(), frame.remark.as_deref()), (response.code, Some("why")));
            assert_eq!(frame.body, b"onetwo");
        }
    }

    #[test]
    fn an_answer_that_fits_no_frame_says_so() {
        let long = ResponseHeader::Fields(vec![("k".into(), "v".repeat(1 << 24))]);
        let mut bytes = Vec::new();
        Response::ok().with_header(long).with_body(b"body".to_vec()).encode(Encoding::Json, 9, &mut bytes);
        let frame = Frame::decode(&bytes).unwrap();
        assert_eq!((frame.response_code(), frame.opaque), (ResponseCode::SYSTEM_ERROR, 9));
        assert!(frame.remark.unwrap().contains("must stay below 16 MiB"));
        assert!(frame.body.is_empty());
    }

    #[test]
    fn a_remark_is_cut_where_nobody_reads_on() {
        let mut bytes = Vec::new();
        Response::error(ResponseCode::SYSTEM_ERROR, "é".repeat(1 << 20)).encode(
            Encoding::Binary,
            1,
            &mut bytes,
        );
        assert_eq!(Frame::decode(&bytes).unwrap().remark.unwrap().len(), MAX_REMARK);
    }
}
