//! Queue locks for ordered consumption. Protocol reference, section 5.5.

use super::body::{LockBatchRequestBody, UnlockBatchRequestBody};
use super::header::header;

header! {
    /// LOCK_BATCH_MQ (41): hold these queues for a client. Answered with [`super::body::LockBatchResponseBody`].
    #[doc(alias = "LockBatchMqRequestHeader")]
    LockBatchMq {}
    body: LockBatchRequestBody;
}

header! {
    /// UNLOCK_BATCH_MQ (42): give these queues back. May be oneway.
    #[doc(alias = "UnlockBatchMqRequestHeader")]
    UnlockBatchMq {}
    body: UnlockBatchRequestBody;
}
