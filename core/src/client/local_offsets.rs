//! How far a broadcasting consumer has come, in a file of its own: `<directory>/<client id>/<group>/offsets.json`, in
//! Apache's form and place, so that a consumer goes on where Apache's stopped, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::file;
use crate::sync::Mutex;
use crate::wire::body::{MessageQueue, OffsetTable};
use crate::wire::json;
use crate::Result;

/// The files of this process, so that two members of a group do not write over each other's.
static IN_USE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "OffsetSerializeWrapper")]
struct Content {
    offset_table: OffsetTable,
}

/// The offsets of one consumer, in memory and in its file.
#[derive(Debug)]
#[doc(alias = "LocalFileOffsetStore")]
pub(super) struct LocalOffsets {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    offsets: BTreeMap<MessageQueue, i64>,
    /// Whether `offsets` are what the file holds.
    saved: bool,
}

impl LocalOffsets {
    /// Reads the file of a consumer; none yet is no offsets. `client_id` should be the same at each start. The second
    /// member of a group in one process gets the id with `#2` appended, and so on: members that start again in any
    /// order find as many files as there were.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be read. [`Corrupt`](crate::ErrorKind::Corrupt) if neither it
    /// nor its copy `.bak` holds offsets: starting without would skip or repeat messages silently.
    pub fn open(directory: &Path, client_id: &str, group: &str) -> Result<LocalOffsets> {
        let path = claim(directory, client_id, group);
        let loaded = file::load_with(&path, json::from_slice::<Content>);
        let content = loaded.inspect_err(|_| release(&path))?.unwrap_or_default();
        let state = State { offsets: content.offset_table.0, saved: true };
        Ok(LocalOffsets { path, state: Mutex::new(state) })
    }

    /// The next offset to consume of a queue; `None` if nothing was consumed of it.
    pub fn get(&self, queue: &MessageQueue) -> Option<i64> {
        self.state.lock().offsets.get(queue).copied()
    }

    /// Notes the next offset to consume; on disk with the next [`LocalOffsets::save`].
    pub fn set(&self, queue: &MessageQueue, offset: i64) {
        let mut state = self.state.lock();
        if state.offsets.insert(queue.clone(), offset) != Some(offset) {
            state.saved = false;
        }
    }

    /// Writes the file if something changed. What was there before is then in `.bak`.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) naming the file. The offsets are still to be saved then.
    pub fn save(&self) -> Result<()> {
        // Held while writing, so that an older table is never written over a newer one.
        let mut state = self.state.lock();
        if !state.saved {
            let content = Content { offset_table: OffsetTable(state.offsets.clone()) };
            file::save(&self.path, &json::to_old_vec(&content))?;
            state.saved = true;
        }
        Ok(())
    }

    /// Where the file is.
    #[cfg(test)]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LocalOffsets {
    fn drop(&mut self) {
        release(&self.path);
    }
}

fn claim(directory: &Path, client_id: &str, group: &str) -> PathBuf {
    let mut in_use = IN_USE.lock();
    let mut number = 1;
    loop {
        let suffix = if number == 1 { String::new() } else { format!("#{number}") };
        let member = safe(&format!("{client_id}{suffix}"));
        let path = directory.join(member).join(safe(group)).join("offsets.json");
        if in_use.insert(path.clone()) {
            return path;
        }
        number += 1;
    }
}

fn release(path: &Path) {
    IN_USE.lock().remove(path);
}

/// One component of a path, whatever a group or client is called.
fn safe(name: &str) -> String {
    let dots_only = name.bytes().all(|byte| byte == b'.');
    let unsafe_char = |c: char| matches!(c, '/' | '\\' | '\0') || (dots_only && c == '.');
    name.chars().map(|c| if unsafe_char(c) { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn queue(topic: &str, broker_name: &str, queue_id: i32) -> MessageQueue {
        MessageQueue { topic: topic.into(), broker_name: broker_name.into(), queue_id }
    }

    #[test]
    fn offsets_are_found_again_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (queue("T", "b", 0), queue("T", "b", 1));
        {
            let offsets = LocalOffsets::open(dir.path(), "10.0.0.1@DEFAULT", "g").unwrap();
            assert_eq!(offsets.path(), dir.path().join("10.0.0.1@DEFAULT/g/offsets.json"));
            assert_eq!(offsets.get(&a), None);
            offsets.save().unwrap();
            assert!(!offsets.path().exists(), "nothing to save");
            offsets.set(&a, 5);
            offsets.save().unwrap();
            offsets.set(&b, 7);
            offsets.save().unwrap();
        }
        let offsets = LocalOffsets::open(dir.path(), "10.0.0.1@DEFAULT", "g").unwrap();
        assert_eq!((offsets.get(&a), offsets.get(&b)), (Some(5), Some(7)));
        // The state before is the copy: what a torn file falls back to.
        drop(offsets);
        std::fs::write(dir.path().join("10.0.0.1@DEFAULT/g/offsets.json"), "{\"offsetTable\":{{\"bro")
            .unwrap();
        let offsets = LocalOffsets::open(dir.path(), "10.0.0.1@DEFAULT", "g").unwrap();
        assert_eq!((offsets.get(&a), offsets.get(&b)), (Some(5), None));
    }

    /// The file is what OffsetSerializeWrapper of rocketmq-client 5.3.3 writes.
    #[test]
    fn apaches_file_is_read_and_ours_has_its_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ip@DEFAULT/g/offsets.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, include_bytes!("../../tests/fixtures/client/offsets.json")).unwrap();
        let offsets = LocalOffsets::open(dir.path(), "ip@DEFAULT", "g").unwrap();
        assert_eq!(offsets.get(&queue("TopicTest", "broker-a", 0)), Some(5));
        assert_eq!(offsets.get(&queue("TopicTest", "broker-a", 1)), Some(7_000_000_000));
        assert_eq!(offsets.get(&queue("城市", "broker-b", 3)), Some(0));
        offsets.set(&queue("城市", "broker-b", 3), 1);
        offsets.save().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"TopicTest"}:5,{"brokerName":"broker-a","queueId":1,"topic":"TopicTest"}:7000000000,{"brokerName":"broker-b","queueId":3,"topic":"城市"}:1}}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn members_of_one_process_have_files_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let open = || LocalOffsets::open(dir.path(), "ip@DEFAULT", "g").unwrap();
        let (first, second) = (open(), open());
        assert_ne!(first.path(), second.path());
        let path = first.path().to_owned();
        drop(first);
        assert_eq!(open().path(), path);
    }

    #[test]
    fn damage_is_an_error_that_names_the_file_and_strange_names_stay_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = LocalOffsets::open(dir.path(), "../x", "..").unwrap();
        assert_eq!(offsets.path(), dir.path().join(".._x/__/offsets.json"));
        offsets.set(&queue("T", "b", 0), 1);
        offsets.save().unwrap();
        let path = offsets.path().to_owned();
        drop(offsets);
        std::fs::write(&path, "garbage").unwrap();
        let error = LocalOffsets::open(dir.path(), "../x", "..").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("offsets.json"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"garbage", "it is left for whoever repairs it");
    }
}
