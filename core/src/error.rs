//! One error type for everything: what kind, while doing what, on what, and because of what.

use std::fmt;

/// Result of every fallible call of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Defines [`ErrorKind`] and what is told about each kind.
macro_rules! kinds {
    ($($(#[doc = $meaning:literal])+ $name:ident = $number:literal,)*) => {
        /// What kind of failure an [`Error`] is. The numbers are fixed: they cross the C ABI and never change meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[doc = $meaning])+ $name = $number,)*
        }

        impl ErrorKind {
            /// All kinds, by their numbers.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The name, the same in all languages: `NotFound`.
            pub fn name(self) -> &'static str {
                match self {
                    $(ErrorKind::$name => stringify!($name),)*
                }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(ErrorKind::$name => concat!($($meaning),+).trim(),)*
                }
            }
        }
    };
}

kinds! {
    /// An argument, setting or command line is not usable as given.
    InvalidArgument = 1,
    /// The operating system refused: file, socket, disk full.
    Io = 2,
    /// Bytes do not have the form they should: a frame, a record, a file.
    Corrupt = 3,
    /// The call did not end within its deadline.
    Timeout = 4,
    /// The peer could not be reached, or the connection broke while waiting.
    Connection = 5,
    /// The object was closed.
    Closed = 6,
    /// The thing asked for does not exist (topic, route, group, message).
    NotFound = 7,
    /// Permission missing.
    NoPermission = 8,
    /// A limit was reached: frame size, memory, connections.
    LimitExceeded = 9,
    /// The data directory or the port is in use by another process.
    InUse = 10,
    /// The store does not take writes: disk full, failed write, shutting down.
    NotWritable = 11,
    /// The peer answered with an error code of the protocol, which the error holds.
    Remote = 12,
    /// The peer does not support the request.
    Unsupported = 13,
    /// A defect of the library itself.
    Internal = 14,
    /// The process was made by fork() from the one that this object belongs to: only that one may use it.
    Forked = 15,
}

/// The send that an error is about: what is needed to find out whether the message was stored all the same, and to send
/// it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedSend {
    /// The message's topic.
    pub topic: String,
    /// The message's unique id, under which it can be looked up; of a batch those of all, joined by
    /// commas.
    pub message_id: String,
    /// Name of the broker that was tried last, if one was.
    pub broker: Option<String>,
    /// How often it was tried.
    pub attempts: usize,
}

/// An error: the kind to branch on, and a message that names the thing, the value and the way out.
#[doc(alias = "MQClientException")]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    context: String,
    code: Option<i32>,
    send: Option<Box<FailedSend>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error. `operation` is what was being done ("open store"), `context` names the thing, the value and
    /// the way out.
    pub fn new(kind: ErrorKind, operation: &'static str, context: impl Into<String>) -> Self {
        Error { kind, operation, context: context.into(), code: None, send: None, source: None }
    }

    /// Makes an [`ErrorKind::Io`] error for the file or address `context`.
    pub fn io(operation: &'static str, context: impl Into<String>, source: std::io::Error) -> Self {
        Error::new(ErrorKind::Io, operation, context).with_source(source)
    }

    /// Makes an [`ErrorKind::Remote`] error from a response code and its remark.
    pub fn remote(operation: &'static str, code: i32, remark: impl Into<String>) -> Self {
        Error { code: Some(code), ..Error::new(ErrorKind::Remote, operation, remark) }
    }

    /// Adds the underlying error.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the send that failed.
    pub(crate) fn with_send(mut self, send: FailedSend) -> Self {
        self.send = Some(Box::new(send));
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was being done.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The thing, the value, and the way out; without operation and source.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The response code of the protocol, where a peer answered with one.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// The send that failed, where the message was made ready and could not be sent.
    pub fn failed_send(&self) -> Option<&FailedSend> {
        self.send.as_deref()
    }

    /// The response codes that make an error of the kind [`ErrorKind::Remote`] retriable: what Apache's producer repeats
    /// on another broker.
    pub const RETRIABLE_CODES: [i32; 8] = [1, 2, 14, 16, 17, 204, 205, 1500];

    /// Whether the same call may succeed when repeated, perhaps on another broker.
    pub fn is_retriable(&self) -> bool {
        match self.kind {
            ErrorKind::Timeout | ErrorKind::Connection => true,
            ErrorKind::Remote => self.code.is_some_and(|code| Error::RETRIABLE_CODES.contains(&code)),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.context)?;
        if let Some(code) = self.code {
            write!(f, " (response code {code})")?;
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        if let Some(FailedSend { topic, message_id, broker, attempts }) = self.send.as_deref() {
            let broker = broker.as_deref().unwrap_or("no broker");
            write!(
                f,
                "; message {message_id} for topic {topic:?}, last tried at {broker}, attempts: {attempts}"
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_operation_context_code_and_source() {
        let io = std::io::Error::other("disk on fire");
        let error = Error::io("append", "/data/commitlog/00000000000000000000", io);
        assert_eq!(error.to_string(), "append: /data/commitlog/00000000000000000000: disk on fire");
        assert!(!error.is_retriable());
        let error = Error::remote("send", 14, "store is full");
        assert_eq!(error.to_string(), "send: store is full (response code 14)");
        assert!(error.is_retriable());
    }
}
