//! REGISTER_MESSAGE_FILTER_CLASS (302): filter functions of consumer groups, WebAssembly modules that users upload. Kept
//! in `config/filterFunction.json`. Apache's filter servers, up to 4.2, took Java classes with this request.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::filter::FilterFunction;
use crate::record::{body_crc, RecordView};
use crate::sync::{Mutex, RwLock};
use crate::wire::{json, RegisterMessageFilterClass, Response, ResponseCode};
use crate::{Error, ErrorKind, Result};

use super::handler::{refused, Caller};
use super::state::StateFile;
use super::Broker;

/// Functions of one broker.
const MOST_FUNCTIONS: usize = 64;
/// Failures in a row after which a function is not asked any more.
const MOST_FAILURES: u32 = 10;

/// A function as it stands in the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Saved {
    topic: String,
    consumer_group: String,
    class_name: String,
    /// The module in hexadecimal.
    module: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Table {
    functions: Vec<Saved>,
}

/// A group's function for a topic.
pub(crate) struct GroupFunction {
    saved: Saved,
    compiled: FilterFunction,
    failures: AtomicU32,
}

impl GroupFunction {
    fn compile(saved: Saved, module: &[u8]) -> Result<Self> {
        let compiled = FilterFunction::compile(module)?;
        Ok(GroupFunction { saved, compiled, failures: AtomicU32::new(0) })
    }

    /// Whether the group wants a record. A function that fails never keeps a message from its group.
    pub fn wants(&self, record: &RecordView<'_>) -> bool {
        if self.failures.load(Ordering::Relaxed) >= MOST_FAILURES {
            return true;
        }
        match self.compiled.takes(record.properties(), record.body()) {
            Ok(takes) => {
                self.failures.store(0, Ordering::Relaxed);
                takes
            }
            Err(error) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                let Saved { topic, consumer_group: group, class_name: name, .. } = &self.saved;
                tracing::error!(%topic, %group, %name, %error, "a filter function failed; the message is delivered");
                if failures == MOST_FAILURES {
                    tracing::error!(%topic, %group, %name, "it is not asked any more: upload a better one");
                }
                true
            }
        }
    }
}

/// By topic and group.
type Functions = BTreeMap<(String, String), Arc<GroupFunction>>;

/// The functions of a broker. All methods from any thread.
pub(crate) struct FilterFunctions {
    table: RwLock<Functions>,
    /// Whether there is one at all, so that pulls without need not look.
    any: AtomicBool,
    file: Mutex<StateFile>,
}

impl FilterFunctions {
    /// Loads the table. A function that does not compile any more is left out, with an error in the log.
    pub fn open(root: &Path) -> Result<Self> {
        let file = StateFile::new(root, "filterFunction.json");
        let saved = file.load::<Table>()?.unwrap_or_default();
        let mut table = Functions::new();
        for saved in saved.functions {
            let key = (saved.topic.clone(), saved.consumer_group.clone());
            let loaded = from_hex(&saved.module)
                .ok_or_else(|| Error::new(ErrorKind::Corrupt, "load filter function", "not hexadecimal"))
                .and_then(|module| GroupFunction::compile(saved, &module));
            match loaded {
                Ok(function) => drop(table.insert(key, Arc::new(function))),
                Err(error) => {
                    let (topic, group) = key;
                    tracing::error!(%topic, %group, %error, "a saved filter function cannot be used");
                }
            }
        }
        let any = AtomicBool::new(!table.is_empty());
        Ok(FilterFunctions { table: RwLock::new(table), any, file: Mutex::new(file) })
    }

    /// The function of a group for a topic.
    pub fn find(&self, topic: &str, group: &str) -> Option<Arc<GroupFunction>> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        self.table.read().get(&(topic.to_owned(), group.to_owned())).cloned()
    }

    /// Changes the table once it is saved.
    fn change(&self, topic: &str, group: &str, function: Option<GroupFunction>) -> Result<()> {
        // Held to the end, so that the file follows the table.
        let file = self.file.lock();
        let mut table = self.table.read().clone();
        let key = (topic.to_owned(), group.to_owned());
        match function {
            Some(function) => drop(table.insert(key, Arc::new(function))),
            None => drop(table.remove(&key)),
        }
        if table.len() > MOST_FUNCTIONS {
            let context = format!("there are {MOST_FUNCTIONS} filter functions already; remove one");
            return Err(Error::new(ErrorKind::LimitExceeded, "keep filter function", context));
        }
        let functions = table.values().map(|function| function.saved.clone()).collect();
        file.save(&json::to_vec(&Table { functions }))?;
        self.any.store(!table.is_empty(), Ordering::Relaxed);
        *self.table.write() = table;
        Ok(())
    }
}

/// Takes a function, or with an empty body removes the one that is there.
pub(crate) fn register(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &RegisterMessageFilterClass<'_>,
) -> Response {
    let (topic, group) = (&*request.topic, &*request.consumer_group);
    if !broker.config().enable_filter_function {
        let remark = "the broker takes no filter functions; set enableFilterFunction=true on the broker";
        return refused(ResponseCode::NO_PERMISSION, remark);
    }
    if request.body.is_empty() {
        return match broker.functions.change(topic, group, None) {
            Ok(()) => Response::ok(),
            Err(error) => refused(ResponseCode::SYSTEM_ERROR, error.to_string()),
        };
    }
    if broker.topics.find(topic).is_none() {
        return refused(
            ResponseCode::TOPIC_NOT_EXIST,
            format!("topic[{topic}] not exist, apply first please!"),
        );
    }
    let crc = body_crc(request.body);
    if ![0, crc].contains(&request.class_crc) {
        let remark = format!("classCRC is {}, that of the module is {crc}", request.class_crc);
        return refused(ResponseCode::INVALID_PARAMETER, remark);
    }
    let saved = Saved {
        topic: topic.to_owned(),
        consumer_group: group.to_owned(),
        class_name: request.class_name.to_string(),
        module: to_hex(request.body),
    };
    let function = match GroupFunction::compile(saved, request.body) {
        Ok(function) => function,
        Err(error) => return refused(ResponseCode::SUBSCRIPTION_PARSE_FAILED, error.to_string()),
    };
    if let Err(error) = broker.functions.change(topic, group, Some(function)) {
        return refused(ResponseCode::SYSTEM_ERROR, error.to_string());
    }
    tracing::info!(%topic, %group, name = %request.class_name, remote = %caller.remote(), "filter function taken");
    Response::ok()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}
