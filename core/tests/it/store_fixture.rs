//! Real stores of Apache's brokers: unpacked into a directory of their own, with what their manifests say.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq::clock::Clock;
use ferromq::store::{Store, StoreOptions};
use serde_json::Value;
use tempfile::TempDir;

/// An unpacked store and its manifest.
pub struct Fixture {
    dir: TempDir,
    pub manifest: Value,
}

impl Fixture {
    pub fn unpack(name: &str) -> Fixture {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store").join(name);
        let manifest = serde_json::from_slice(&fs::read(from.join("manifest.json")).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        unpack(&from.join("store.tar.gz"), dir.path());
        Fixture { dir, manifest }
    }

    /// The store directory.
    pub fn root(&self) -> PathBuf {
        let inside = self.dir.path().join("store");
        if inside.is_dir() {
            inside
        } else {
            self.dir.path().to_path_buf()
        }
    }

    /// The sizes that the broker had, with expiry off.
    pub fn options(&self) -> StoreOptions {
        let number = |key: &str, default: usize| {
            self.manifest["brokerConf"][key].as_u64().map_or(default, |number| number as usize)
        };
        let mut options = StoreOptions::new(self.root());
        options.mapped_file_size_commit_log = number("mappedFileSizeCommitLog", 0);
        options.mapped_file_size_consume_queue = number("mappedFileSizeConsumeQueue", 0);
        options.mapped_file_size_consume_queue_ext = number("mappedFileSizeConsumeQueueExt", 48 << 20);
        options.mapped_file_size_batch_consume_queue = number("mapperFileSizeBatchConsumeQueue", 13_800_000);
        options.max_hash_slot_num = number("maxHashSlotNum", 0);
        options.max_index_num = number("maxIndexNum", 0);
        options.file_reserved_time_hours = 876_000;
        options.disk_max_used_space_ratio = 95;
        options.clean_file_forcibly_enable = false;
        options.delete_when = "99".into();
        let topics = self.manifest["topicConfig"]["topicConfigTable"].as_object();
        // As for a broker's: 4.9 keeps this one out of the table.
        let system = ["RMQ_SYS_TRANS_OP_HALF_TOPIC".to_owned()];
        options.known_topics = topics.map(|topics| topics.keys().cloned().chain(system).collect());
        options
    }

    pub fn open(&self) -> Arc<Store> {
        Store::open(self.options(), Clock::new()).unwrap()
    }

    /// Topic and queue for each queue that the manifest lists, with the queue's part of the manifest.
    pub fn queues(&self) -> Vec<(&str, i32, &Value)> {
        let topics = self.manifest["topics"].as_object().unwrap();
        let queues = topics.iter().flat_map(|(topic, value)| {
            let queues = value["queues"].as_array().unwrap();
            queues.iter().map(move |queue| (topic.as_str(), queue["queueId"].as_i64().unwrap() as i32, queue))
        });
        queues.collect()
    }

    /// Sizes of all files below the root, by their path.
    pub fn files(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        collect(&self.root(), &self.root(), &mut found);
        found
    }
}

fn collect(root: &Path, dir: &Path, found: &mut BTreeMap<String, u64>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, path.metadata().unwrap().len());
        }
    }
}

/// Unpacks a tar.gz, leaving holes where a file has zeros: some are large and almost empty.
fn unpack(archive: &Path, to: &Path) {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(File::open(archive).unwrap()));
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = to.join(entry.path().unwrap());
        if entry.header().entry_type().is_dir() {
            fs::create_dir_all(path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.set_len(entry.header().size().unwrap()).unwrap();
        let mut chunk = vec![0; 64 << 10];
        loop {
            let read = entry.read(&mut chunk).unwrap();
            if read == 0 {
                break;
            }
            if chunk[..read].iter().all(|byte| *byte == 0) {
                file.seek(SeekFrom::Current(read as i64)).unwrap();
            } else {
                file.write_all(&chunk[..read]).unwrap();
            }
        }
    }
}
