//! Bits of a message's sysFlag (protocol reference, section 3.3), of a pull's sysFlag, and of a topic's.

/// The body is compressed; [`COMPRESSION_MASK`] says how.
pub const COMPRESSED: i32 = 0x1;
/// Several tags.
pub const MULTI_TAGS: i32 = 0x2;
/// The two transaction bits: none, [`TRANSACTION_PREPARED`], [`TRANSACTION_COMMIT`] or [`TRANSACTION_ROLLBACK`].
pub const TRANSACTION_MASK: i32 = 0xC;
/// Half message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// Committed message; also a producer's decision.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// Rolled back; also a producer's decision.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// The born host has 16 bytes.
pub const BORN_HOST_V6: i32 = 0x10;
/// The store host has 16 bytes.
pub const STORE_HOST_V6: i32 = 0x20;
/// The body is an inner batch to unwrap (5.x).
pub const NEED_UNWRAP: i32 = 0x40;
/// The record is an inner batch (5.x).
pub const INNER_BATCH: i32 = 0x80;
/// The compression bits. 0 and 0x300 are zlib.
pub const COMPRESSION_MASK: i32 = 0x700;
/// LZ4, frame format.
pub const COMPRESSION_LZ4: i32 = 0x100;
/// Zstandard.
pub const COMPRESSION_ZSTD: i32 = 0x200;
/// zlib (RFC 1950); no compression bits at all mean the same.
pub const COMPRESSION_ZLIB: i32 = 0x300;

/// Bits of a pull request's sysFlag.
#[doc(alias = "PullSysFlag")]
pub mod pull {
    /// `commitOffset` is valid and to be stored.
    pub const COMMIT_OFFSET: i32 = 0x1;
    /// Hold the request if nothing is there.
    pub const SUSPEND: i32 = 0x2;
    /// The request brings its filter expression.
    pub const SUBSCRIPTION: i32 = 0x4;
    /// Class filter.
    pub const CLASS_FILTER: i32 = 0x8;
    /// Lite pull.
    pub const LITE: i32 = 0x10;
}

/// Bits of a topic's sysFlag.
#[doc(alias = "TopicSysFlag")]
pub mod topic {
    /// Unit topic.
    pub const UNIT: i32 = 0x1;
    /// Topic with unit subscriptions.
    pub const UNIT_SUB: i32 = 0x2;
}
