//! What FERROMQ_BACKUP answers.

use serde::{Deserialize, Serialize};

/// A backup that was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupMade {
    /// Its directory, on the broker's machine.
    pub directory: String,
    /// Commit-log offset of the first record in it.
    pub begin: i64,
    /// Commit-log offset behind the last one.
    pub end: i64,
    /// Consume queues.
    pub queues: u64,
    /// Bytes written.
    pub copied: u64,
    /// Bytes of files shared with the broker.
    pub linked: u64,
}
