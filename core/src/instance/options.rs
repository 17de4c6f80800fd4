//! What `open` takes as keys and values: one rule for all languages, the command line and configuration files.

use std::path::Path;

use super::{Listen, OpenOptions, Place};
use crate::config::{find, unobeyed_by, BrokerConfig, ClientOptions, Key, NamesrvConfig, Process};
use crate::{Error, ErrorKind, Result};

/// The keys that are in no table.
const SPECIAL: [&str; 3] = ["path", "memory", "listen"];

/// Keys of the tables that follow from the special ones, and what to set instead.
const FOLLOWING: [(&str, &str); 9] = [
    ("storePathRootDir", "set path"),
    ("kvConfigPath", "it lies in the directory; set path"),
    ("configStorePath", "it lies in the directory; set path"),
    ("listenPort", "set listen to host:port of the name server:port of the broker"),
    ("bindAddress", "set listen to host:port of the name server:port of the broker"),
    ("brokerIP1", "it is the host of listen"),
    ("brokerIP2", "it is the host of listen"),
    ("namesrvAddr", "the name server is this one; for a cluster use connect"),
    ("vipChannelEnabled", "the client and the broker are in one process"),
];

impl OpenOptions {
    /// What these keys and values say: as [`OpenOptions::set`] one after the other. The last `path` and the last `memory`
    /// count, wherever they stand; `path` or `memory=true` must be among them.
    ///
    /// # Errors
    /// As [`OpenOptions::set`]; and when there is no place to keep messages in, or there are two.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<OpenOptions> {
        let pairs: Vec<(K, V)> = pairs.into_iter().collect();
        let last = |key| pairs.iter().rev().find(|pair| pair.0.as_ref() == key).map(|pair| pair.1.as_ref());
        let mut in_memory = false;
        for (_, value) in pairs.iter().filter(|pair| pair.0.as_ref() == "memory") {
            in_memory = truth("memory", value.as_ref())?;
        }
        let mut options = match (last("path"), in_memory) {
            (Some(path), true) => {
                return Err(refuse(format!("path = {path:?} and memory = true: set one of them")))
            }
            (None, false) => {
                return Err(refuse("there is no place for the messages: set path or memory=true"))
            }
            (_, true) => OpenOptions::memory(),
            (Some(""), false) => return Err(refuse(EMPTY_PATH)),
            (Some(path), false) => OpenOptions::directory(path),
        };
        for (key, value) in &pairs {
            let key = key.as_ref();
            if !matches!(key, "path" | "memory") {
                options.set(key, value.as_ref())?;
            }
        }
        Ok(options)
    }

    /// Sets one option by its name:
    /// - `path`: the directory; `memory`: `true` keeps messages in memory instead, `false` is refused where no directory is
    ///   set. What is set last counts;
    /// - `listen`: `true` (127.0.0.1 with Apache's ports 9876 and 10911), `free` (127.0.0.1 with free ports), `false`, or
    ///   `host:port of the name server:port of the broker`, where the port 0 is a free one;
    /// - any key of client, broker and name server, by Apache's name (`flushDiskType`) or the field's
    ///   (`flush_disk_type`). One that several of them have, such as `maxConnections`, is set for all; with `client.`,
    ///   `broker.` or `namesrv.` before it for that one.
    ///
    /// What `open` sets by itself, such as `listenPort`, cannot be set.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a value that is not allowed, with what is; for a key that nothing obeys, with the
    /// nearest one. Nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "path" if value.is_empty() => Err(refuse(EMPTY_PATH)),
            "path" => {
                self.keep_in(Place::Directory(Path::new(value).to_owned()));
                Ok(())
            }
            "memory" => match (truth(key, value)?, &self.place) {
                (true, _) => {
                    self.keep_in(Place::Memory);
                    Ok(())
                }
                (false, Place::Directory(_)) => Ok(()),
                (false, Place::Memory) => {
                    Err(refuse("memory = false: there is no other place for the messages; set path"))
                }
            },
            "listen" => {
                self.listen = listen(value)?;
                Ok(())
            }
            _ => self.set_in_tables(key, value),
        }
    }

    fn set_in_tables(&mut self, name: &str, value: &str) -> Result<()> {
        let (of, key) = owner(name);
        let row_of =
            |process, keys: &'static [Key]| find(keys, key).filter(|_| of.is_none_or(|of| of == process));
        let client = row_of(Process::Client, ClientOptions::KEYS);
        let broker = row_of(Process::Broker, BrokerConfig::KEYS);
        let namesrv = row_of(Process::Namesrv, NamesrvConfig::KEYS);
        let Some(first) = client.or(broker).or(namesrv) else {
            return Err(refuse(unknown(key)));
        };
        if let Some((_, instead)) = FOLLOWING.iter().find(|(following, _)| *following == first.name) {
            return Err(refuse(format!("{key} = {value:?}: open sets it itself; {instead}")));
        }
        // What one refuses is not set for the others.
        let mut changed = (self.client.clone(), self.broker.clone(), self.namesrv.clone());
        if let Some(row) = client {
            changed.0.set(row.name, value)?;
        }
        if let Some(row) = broker {
            changed.1.set(row.name, value)?;
        }
        if let Some(row) = namesrv {
            changed.2.set(row.name, value)?;
        }
        (self.client, self.broker, self.namesrv) = changed;
        Ok(())
    }
}

/// Whose key it is, if that stands before it.
fn owner(name: &str) -> (Option<Process>, &str) {
    let prefixes =
        [("client.", Process::Client), ("broker.", Process::Broker), ("namesrv.", Process::Namesrv)];
    let found =
        prefixes.iter().find_map(|(prefix, process)| Some((Some(*process), name.strip_prefix(prefix)?)));
    found.unwrap_or((None, name))
}

fn unknown(key: &str) -> String {
    let tables = [ClientOptions::KEYS, BrokerConfig::KEYS, NamesrvConfig::KEYS];
    let ours = tables.into_iter().flatten().map(|row| row.name).chain(SPECIAL);
    unobeyed_by(key, &[Process::Client, Process::Broker, Process::Namesrv], ours)
}

fn truth(key: &str, value: &str) -> Result<bool> {
    let value = value.trim();
    match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(refuse(format!("{key} = {value:?} is not allowed; allowed is true or false"))),
    }
}

fn listen(value: &str) -> Result<Option<Listen>> {
    let value = value.trim();
    if value.eq_ignore_ascii_case("free") {
        return Ok(Some(Listen::on_free_ports()));
    }
    if let Ok(wanted) = truth("listen", value) {
        return Ok(wanted.then(Listen::default));
    }
    // From behind: an address of IPv6 has colons of its own.
    let mut parts = value.rsplitn(3, ':');
    let mut port = || parts.next().and_then(|part| part.parse().ok());
    let ports = (port(), port());
    match (parts.next(), ports) {
        (Some(host), (Some(broker_port), Some(namesrv_port))) if !host.is_empty() => {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Ok(Some(Listen { host, namesrv_port, broker_port }))
        }
        _ => {
            let allowed = "true, false, free or host:port of the name server:port of the broker";
            Err(refuse(format!("listen = {value:?} is not allowed; allowed is {allowed}")))
        }
    }
}

const EMPTY_PATH: &str = "path is empty; allowed is a directory";

fn refuse(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, "set option", context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FlushDiskType;

    fn refused(pairs: &[(&str, &str)]) -> String {
        let error = OpenOptions::from_pairs(pairs.iter().copied()).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.to_string()
    }

    #[test]
    fn a_place_is_needed_and_one_only() {
        let options = OpenOptions::from_pairs([("path", "./data"), ("memory", "false")]).unwrap();
        assert_eq!(options.place, Place::Directory("./data".into()));
        let options = OpenOptions::from_pairs([("memory", "True")]).unwrap();
        assert_eq!(options.place, Place::Memory);
        let none: [(&str, &str); 0] = [];
        assert!(refused(&none).contains("set path or memory=true"));
        assert!(refused(&[("memory", "true"), ("path", "x")]).contains("set one of them"));
        assert!(refused(&[("path", "")]).contains("allowed is a directory"));
        assert!(refused(&[("memory", "yes")]).contains("true or false"));
    }

    #[test]
    fn the_last_place_counts_and_nobody_is_left_in_memory_without_asking() {
        let options =
            OpenOptions::from_pairs([("path", "d"), ("memory", "true"), ("memory", "false")]).unwrap();
        assert_eq!(options.place, Place::Directory("d".into()));
        let usual = OpenOptions::directory("d").broker;
        assert_eq!(options.broker.mapped_file_size_commit_log, usual.mapped_file_size_commit_log);
        let options = OpenOptions::from_pairs([("path", ""), ("path", "d")]).unwrap();
        assert_eq!(options.place, Place::Directory("d".into()));
        assert!(refused(&[("memory", "perhaps"), ("memory", "true")]).contains("true or false"));

        let mut options = OpenOptions::directory("d");
        options.set("memory", "false").unwrap();
        options.set("memory", "true").unwrap();
        let told = options.set("memory", "false").unwrap_err().to_string();
        assert!(told.contains("set path"), "{told}");
        options.set("maxIndexNum", "4000").unwrap();
        options.set("path", "e").unwrap();
        assert_eq!(options.place, Place::Directory("e".into()));
        assert_eq!(options.broker.mapped_file_size_commit_log, usual.mapped_file_size_commit_log);
        assert_eq!(options.broker.allocation_step, usual.allocation_step);
        assert_eq!(options.broker.max_index_num, 4000);
    }

    #[test]
    fn keys_go_to_the_table_that_has_them_by_either_name() {
        let options = OpenOptions::from_pairs([
            ("flushDiskType", "SYNC_FLUSH"),
            ("path", "d"),
            ("transaction_time_out", "77"),
            ("instanceName", "one"),
            ("orderMessageEnable", "true"),
        ])
        .unwrap();
        assert_eq!(options.broker.flush_disk_type, FlushDiskType::Sync);
        assert_eq!(options.broker.transaction_time_out, 77);
        assert_eq!(options.client.instance_name.as_deref(), Some("one"));
        assert!(options.namesrv.order_message_enable);
    }

    #[test]
    fn a_key_of_several_is_set_for_all_unless_one_is_named() {
        let mut options = OpenOptions::memory();
        options.set("maxConnections", "5").unwrap();
        assert_eq!((options.broker.max_connections, options.namesrv.max_connections), (5, 5));
        options.set("namesrv.maxConnections", "6").unwrap();
        assert_eq!((options.broker.max_connections, options.namesrv.max_connections), (5, 6));
        let error = options.set("namesrv.flushDiskType", "SYNC_FLUSH").unwrap_err();
        assert!(error.to_string().contains("flushDiskType"), "{error}");
    }

    #[test]
    fn memory_leaves_what_was_set_before() {
        let mut options = OpenOptions::directory("d");
        options.set("maxIndexNum", "4000").unwrap();
        options.set("memory", "true").unwrap();
        let memory = OpenOptions::memory().broker;
        assert_eq!(options.broker.max_index_num, 4000);
        assert_eq!(options.broker.max_hash_slot_num, memory.max_hash_slot_num);
        assert_eq!(options.broker.mapped_file_size_commit_log, memory.mapped_file_size_commit_log);
    }

    #[test]
    fn listening_is_a_word_or_a_host_with_two_ports() {
        let read = |value| listen(value).unwrap();
        assert_eq!(read("true"), Some(Listen::default()));
        assert_eq!(read("false"), None);
        assert_eq!(read("free"), Some(Listen::on_free_ports()));
        let own = Listen { host: "0.0.0.0".into(), namesrv_port: 1, broker_port: 0 };
        assert_eq!(read("0.0.0.0:1:0"), Some(own));
        let own = Listen { host: "::1".into(), namesrv_port: 9876, broker_port: 10911 };
        assert_eq!(read("[::1]:9876:10911"), Some(own));
        for bad in ["", "yes", ":1:2", "host:1", "host:1:x", "host:1:70000"] {
            assert!(listen(bad).unwrap_err().to_string().contains("free or host:port"), "{bad}");
        }
    }

    #[test]
    fn a_key_that_nothing_obeys_is_told_what_was_meant() {
        let told = |key| refused(&[("path", "d"), (key, "1")]);
        assert!(told("flushDiskTyp").contains("did you mean flushDiskType?"));
        assert!(told("lisen").contains("did you mean listen?"));
        assert!(told("sendMsgTimeout").contains("a key of the producer"));
        assert!(told("timerWheelEnable").contains("not obeyed yet"));
        assert!(told("colour").ends_with("is not a known key"));
    }

    #[test]
    fn what_follows_from_the_place_cannot_be_set() {
        for (key, _) in FOLLOWING {
            let told = refused(&[("path", "d"), (key, "1")]);
            assert!(told.contains("open sets it itself"), "{told}");
        }
        assert!(refused(&[("path", "d"), ("store_path_root_dir", "x")]).contains("set path"));
    }

    #[test]
    fn a_value_that_is_refused_changes_nothing() {
        let mut options = OpenOptions::memory();
        let error = options.set("maxConnections", "none").unwrap_err();
        assert!(error.to_string().contains("a number of at least 1") || error.to_string().contains("from 1"));
        assert_eq!(options.broker.max_connections, BrokerConfig::default().max_connections);
    }

    #[test]
    fn clients_producers_and_consumers_take_pairs_by_either_name() {
        use crate::config::{ConsumerOptions, ProducerOptions};
        let producer =
            ProducerOptions::from_pairs([("producerGroup", "G"), ("send_msg_timeout", "5")]).unwrap();
        assert_eq!((producer.producer_group.as_str(), producer.send_msg_timeout.as_millis()), ("G", 5));
        let consumer = ConsumerOptions::from_pairs([("consumer_group", "G")]).unwrap();
        assert_eq!(consumer.consumer_group.as_deref(), Some("G"));
        let error = ClientOptions::from_pairs([("instanceNam", "x")]).unwrap_err();
        assert!(error.to_string().contains("did you mean instanceName?"), "{error}");
    }
}
