//! The bounds of one connection.

use std::time::Duration;

/// Bounds of one connection; the defaults are for both servers and clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest frame accepted and sent, in bytes, its length field included. Default 16 MiB (16777216), as Apache's
    /// `com.rocketmq.remoting.frameMaxLength`. A longer one closes the connection.
    pub frame: usize,
    /// A connection over which nothing moved for this long is closed. Default 120 s.
    #[doc(alias = "serverChannelMaxIdleTimeSeconds")]
    pub idle: Duration,
    /// Bytes waiting to be sent above which no further request of the connection is handled. Default 4 MiB.
    pub output: usize,
    /// Bytes waiting to be sent above which the connection is closed: its peer asked for much and does not read.
    /// Default 256 MiB. Only tickets answered while the peer does not read, and pushes, come this far.
    pub output_ceiling: usize,
    /// Parked tickets above which no further request of the connection is handled. Default 16384.
    pub parked: usize,
    /// Calls waiting for a response on the connection, above which new ones fail with
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded). Default 65535, as Apache's `clientAsyncSemaphoreValue`.
    pub calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame: 16_777_216,
            idle: Duration::from_secs(120),
            output: 4 << 20,
            output_ceiling: 256 << 20,
            parked: 16_384,
            calls: 65_535,
        }
    }
}
