//! What a broker remembers besides messages: topics, groups and offsets, each with its file under `config/`.
//!
//! Reference: store.md 6.

mod consumer_offsets;
mod filters;
mod groups;
#[cfg(test)]
mod offsets_tests;
mod topics;

pub(crate) use consumer_offsets::{ConsumerOffsets, QueueOf};
pub(crate) use filters::{is_tag, Filters, SQL92};
pub(crate) use groups::{Group, Groups};
pub(crate) use topics::{system_topics, Topic, Topics};

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::config::file;
use crate::wire::body::DataVersion;
use crate::wire::json;
use crate::Result;

/// One file of the `config` directory.
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file `name` under `<root>/config`.
    pub fn new(root: &Path, name: &str) -> Self {
        StateFile { path: root.join("config").join(name) }
    }

    /// Reads the file, or its `.bak` when it is missing or torn. `None`: neither exists yet. A file that exists and
    /// cannot be read by either name is an error: starting without it would lose what it held.
    pub fn load<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        file::load_with(&self.path, json::from_slice::<T>)
    }

    /// Replaces the file. A failure is logged too: the next save tries again, and memory still has everything.
    pub fn save(&self, text: &[u8]) -> Result<()> {
        file::save(&self.path, text).inspect_err(|error| {
            tracing::error!(%error, file = %self.path.display(), "could not save broker state");
        })
    }
}

/// Counts a change of a table, so that peers notice it.
pub(crate) fn next_version(version: &mut DataVersion, now_ms: i64) {
    version.timestamp = now_ms;
    version.counter += 1;
}
