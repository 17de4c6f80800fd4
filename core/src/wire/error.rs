//! What can be wrong with a frame, and with a request in a sound frame.

use std::fmt;

use super::RequestCode;

/// Bytes that are no frame, or a frame that cannot be written. After one that was read the connection is of no more
/// use: nobody knows where the next frame begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The length field is negative, or too small for the header length behind it.
    Length(i32),
    /// The frame is longer than the limit; both in bytes, the length field included.
    TooLong {
        /// Length of the frame.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes given are not as many as the length field says.
    Incomplete {
        /// Bytes that the frame has.
        length: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The header is longer than the frame.
    HeaderLength {
        /// Length of the header.
        header: usize,
        /// Bytes behind the header length.
        rest: usize,
    },
    /// The header's serialization is neither 0 (JSON) nor 1 (ROCKETMQ).
    Encoding(u8),
    /// The header does not have the form of its serialization.
    Header {
        /// Byte offset in the header.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A header to be written is longer than the 24 bits of its length allow, or the whole frame longer than 2 GiB.
    Unwritable {
        /// Length of the header in bytes.
        header: usize,
        /// Length of the body in bytes.
        body: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Length(length) => write!(f, "frame length {length}; it must be at least 4"),
            FrameError::TooLong { length, max } => write!(f, "frame of {length} bytes; the limit is {max}"),
            FrameError::Incomplete { length, found } => write!(f, "{found} bytes of a frame of {length}"),
            FrameError::HeaderLength { header, rest } => {
                write!(f, "header length {header} in a frame with {rest} bytes for header and body")
            }
            FrameError::Encoding(encoding) => {
                write!(f, "header serialization {encoding}; 0 (JSON) and 1 (ROCKETMQ) are known")
            }
            FrameError::Header { at, what } => write!(f, "header, byte {at}: {what}"),
            FrameError::Unwritable { header, body } => write!(
                f,
                "a header of {header} and a body of {body} bytes; a header must stay below 16 MiB, a frame below 2 GiB"
            ),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for crate::Error {
    fn from(error: FrameError) -> Self {
        let kind = match error {
            FrameError::TooLong { .. } | FrameError::Unwritable { .. } => crate::ErrorKind::LimitExceeded,
            _ => crate::ErrorKind::Corrupt,
        };
        crate::Error::new(kind, "read or write frame", error.to_string())
    }
}

/// A request or response in a sound frame whose fields or body do not have their form. Names field and value, to be
/// answered as the remark of a SYSTEM_ERROR.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A required field is not there.
    Missing {
        /// Apache's name of the request, or of the request that a response answers.
        of: &'static str,
        /// The field's name on the wire.
        field: &'static str,
    },
    /// A field's text does not read as its type.
    Invalid {
        /// Apache's name of the request.
        of: &'static str,
        /// The field's name on the wire.
        field: &'static str,
        /// The text, cut to 100 characters.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The body does not have its form.
    Body {
        /// The request.
        code: RequestCode,
        /// What is wrong, and where.
        reason: String,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Missing { of, field } => write!(f, "{of}: the field {field} is missing"),
            DecodeError::Invalid { of, field, value, expected } => {
                write!(f, "{of}: the field {field} is {value:?}, expected {expected}")
            }
            DecodeError::Body { code, reason } => write!(f, "the body of {code}: {reason}"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for crate::Error {
    fn from(error: DecodeError) -> Self {
        crate::Error::new(crate::ErrorKind::Corrupt, "read request or response", error.to_string())
    }
}
