//! The table that a settings struct is written as: one row a key gives the field, its documentation, default, check,
//! and what reads and writes it by name.

use std::path::{Path, PathBuf};

use super::known::{self, Verdict};
use super::tls::Secret;
use super::value::Value;
use super::{file, properties};
use crate::{Error, ErrorKind, Result};

/// Which process a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// `ferromq broker`, and the broker of `ferromq server`.
    Broker,
    /// `ferromq namesrv`, and the name server of `ferromq server`.
    Namesrv,
    /// A client: what its producers and consumers share.
    Client,
    /// A producer.
    Producer,
    /// A consumer.
    Consumer,
}

impl Process {
    /// Whether a program sets the keys by name, which wants to be told of a wrong one at once.
    fn is_set_by_program(self) -> bool {
        !matches!(self, Process::Broker | Process::Namesrv)
    }
}

/// When a change of a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// At once, also when an admin request changes it.
    Live,
    /// When the process starts; an admin request that changes it is refused.
    AtStart,
}

/// What a value must keep to, beyond its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    /// Whatever the type takes.
    Any,
    /// A number from the first to the second, both included.
    Range(i64, i64),
    /// A text that is not empty.
    Filled,
}

/// One row of the table of keys.
#[derive(Debug)]
pub struct Key {
    /// The key as files, command line and admin requests write it; Apache's where Apache has one.
    pub name: &'static str,
    /// The field of the settings struct: another name for programs to set it by.
    pub field: &'static str,
    /// Type of the value: boolean, number, text, path, word, hours, durations.
    pub kind: &'static str,
    /// What may be written, in words; a range of numbers stands in `allowed`.
    pub words: &'static str,
    /// What the value must keep to.
    pub allowed: Allowed,
    /// The default as text; empty if there is none.
    pub default: fn() -> String,
    /// Which process obeys it.
    pub process: Process,
    /// When a change takes effect.
    pub change: Change,
    /// What it does, with its unit.
    pub doc: &'static str,
}

impl Key {
    /// What may be written as a value, for error messages and documentation.
    pub fn allowed_text(&self) -> String {
        match self.allowed {
            Allowed::Range(one, other) if one == other => one.to_string(),
            Allowed::Range(from, i64::MAX) => format!("a number of at least {from}"),
            Allowed::Range(from, to) => format!("a number from {from} to {to}"),
            Allowed::Filled => format!("{}, not empty", self.words),
            Allowed::Any => self.words.to_owned(),
        }
    }
}

/// What every settings struct has; implemented by [`settings!`] only.
pub(super) trait Settings: Default + Clone {
    const PROCESS: Process;
    fn keys() -> &'static [Key];
    /// Sets the field of `key`; `None` if there is no such key, `Some(false)` if the value is not allowed.
    fn assign(&mut self, key: &str, value: &str) -> Option<bool>;
    fn text_of(&self, key: &str) -> Option<String>;
    fn notes(&mut self) -> &mut Vec<String>;
    fn source_slot(&mut self) -> &mut Option<PathBuf>;
}

/// Reads a value for a row; `None` if it is not allowed there. Blanks around it do not count.
pub(super) fn read<T: Value>(text: &str, allowed: Allowed) -> Option<T> {
    let text = text.trim();
    let value = T::read(text)?;
    let within = match allowed {
        Allowed::Any => true,
        Allowed::Filled => !text.is_empty(),
        Allowed::Range(from, to) => value.number().is_none_or(|number| (from..=to).contains(&number)),
    };
    within.then_some(value)
}

/// Sets one key from a file (`place` names file and line), a command line or a program (`place` is empty). A key that
/// nothing obeys becomes a warning; an error if a program sets it.
pub(super) fn set<S: Settings>(settings: &mut S, place: &str, key: &str, value: &str) -> Result<()> {
    let key = match find(S::keys(), key) {
        Some(row) if place.is_empty() => row.name,
        _ => key,
    };
    match settings.assign(key, value) {
        Some(true) => Ok(()),
        Some(false) => Err(refused::<S>(place, key, value)),
        None if place.is_empty() && S::PROCESS.is_set_by_program() => {
            Err(Error::new(ErrorKind::InvalidArgument, "set option", unobeyed::<S>(key)))
        }
        None => {
            let note = format!("{place}{}", unobeyed::<S>(key));
            if !settings.notes().contains(&note) {
                settings.notes().push(note);
            }
            Ok(())
        }
    }
}

/// The row of a key, by its name or by the field's.
pub fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|row| row.name == name).or_else(|| keys.iter().find(|row| row.field == name))
}

/// Sets what `pairs` say, one after the other.
pub(super) fn from_pairs<S: Settings, K: AsRef<str>, V: AsRef<str>>(
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Result<S> {
    let mut settings = S::default();
    for (key, value) in pairs {
        set(&mut settings, "", key.as_ref(), value.as_ref())?;
    }
    Ok(settings)
}

fn refused<S: Settings>(place: &str, key: &str, value: &str) -> Error {
    let row = S::keys().iter().find(|row| row.name == key);
    let allowed = row.map(Key::allowed_text).unwrap_or_default();
    // A value can be as long as a file; the message should not be.
    let shown: String = value.chars().take(100).collect();
    let context = format!("{place}{key} = {shown:?} is not allowed; allowed is {allowed}");
    Error::new(ErrorKind::InvalidArgument, "read settings", context)
}

fn unobeyed<S: Settings>(key: &str) -> String {
    unobeyed_by(key, &[S::PROCESS], S::keys().iter().map(|row| row.name))
}

/// Says of a key that is in none of the tables of these processes what it is, or what was meant.
pub(crate) fn unobeyed_by(
    key: &str,
    processes: &[Process],
    ours: impl Iterator<Item = &'static str>,
) -> String {
    let shown: String = key.chars().take(100).collect();
    match known::judge(key, processes, ours) {
        Verdict::NotNeeded => format!(
            "{shown} is a key of Apache RocketMQ that is not needed: there are no thread pools, the event loops serve \
             every kind of request"
        ),
        Verdict::NotObeyedYet => format!("{shown} is a key of Apache RocketMQ that is not obeyed yet"),
        Verdict::Elsewhere(other) => format!("{shown} is a key of the {other}, it does nothing here"),
        Verdict::Unknown(Some(near)) => format!("{shown:?} is not a known key; did you mean {near}?"),
        Verdict::Unknown(None) => format!("{shown:?} is not a known key"),
    }
}

/// Reads a whole file's text. `name` stands in messages.
pub(super) fn from_text<S: Settings>(text: &str, name: &str) -> Result<S> {
    let mut settings = S::default();
    for entry in properties::parse(text, name)? {
        let place = format!("{name} line {}: ", entry.line);
        set(&mut settings, &place, &entry.key, &entry.value)?;
    }
    Ok(settings)
}

/// Most bytes of a settings file.
const MAX_FILE: u64 = 1 << 20;

/// Reads a file; the struct remembers where it came from.
pub(super) fn from_file<S: Settings>(path: &Path) -> Result<S> {
    let mut settings: S = from_text(&text_of_file(path)?, &path.display().to_string())?;
    *settings.source_slot() = Some(path.to_owned());
    Ok(settings)
}

fn text_of_file(path: &Path) -> Result<String> {
    use std::io::Read;
    let fail = |error| Error::io("read settings", path.display().to_string(), error);
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        let context = format!("{} is larger than {MAX_FILE} bytes; is it a settings file?", path.display());
        return Err(Error::new(ErrorKind::LimitExceeded, "read settings", context));
    }
    // Java reads Latin-1; people write UTF-8. What is no UTF-8 is Latin-1.
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| error.as_bytes().iter().map(|b| *b as char).collect()))
}

/// The settings with all `changes` made, for an admin request to a running process; all or none.
pub(super) fn updated<S: Settings>(settings: &S, changes: &[(String, String)]) -> Result<S> {
    let refuse = |text: String| Error::new(ErrorKind::InvalidArgument, "update settings", text);
    let mut changed = settings.clone();
    for (key, value) in changes {
        let Some(row) = S::keys().iter().find(|row| row.name == key) else {
            return Err(refuse(unobeyed::<S>(key)));
        };
        match changed.assign(key, value) {
            Some(true) => {}
            _ => return Err(refused::<S>("", key, value)),
        }
        // Secrets look the same whatever they are, so none is taken.
        let is_secret = row.kind == Secret::KIND && !value.is_empty();
        if row.change == Change::AtStart && (is_secret || changed.text_of(key) != settings.text_of(key)) {
            return Err(refuse(format!(
                "{key} takes effect at the start only; set it in the settings file and start again"
            )));
        }
    }
    Ok(changed)
}

/// Makes `changes` in the settings file `path`, leaving its comments and other entries; the file as it was stands in
/// `.bak` afterwards. A missing file is made.
///
/// # Errors
/// [`ErrorKind::Io`] or [`ErrorKind::InvalidArgument`] naming the file.
pub(super) fn rewrite_file(path: &Path, changes: &[(String, String)]) -> Result<()> {
    let present = if path.exists() { text_of_file(path)? } else { String::new() };
    let text = properties::rewrite(&present, &path.display().to_string(), changes)?;
    file::save(path, text.as_bytes())
}

/// All keys with their values, sorted, one `key=value` a line: the body that answers an admin's question.
pub(super) fn to_text<S: Settings>(settings: &S) -> String {
    let mut names: Vec<&str> = S::keys().iter().map(|row| row.name).collect();
    names.sort_unstable();
    properties::write(names.into_iter().filter_map(|name| Some((name, settings.text_of(name)?))))
}

/// Declares a settings struct from rows of
/// `"key" field: Type = default, allowed, change, "What it does.";` and, after `beside`, fields that are no keys.
macro_rules! settings {
    ($(#[$meta:meta])* $name:ident of $process:ident {
        $($key:literal $field:ident: $kind:ty = $default:expr, $allowed:expr, $change:ident, $doc:literal;)*
    } $(beside {
        $($(#[$beside_meta:meta])* $beside:ident: $beside_kind:ty = $beside_default:expr,)*
    })?) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $(
                #[doc = $doc]
                #[doc(alias = $key)]
                pub $field: $kind,
            )*
            $($($(#[$beside_meta])* pub $beside: $beside_kind,)*)?
            /// What was odd about the files and arguments read so far, a line each: unknown keys with the nearest
            /// known one, and keys that are not obeyed yet.
            pub warnings: Vec<String>,
            /// The file these settings were read from, if any: where changes by admin requests are kept.
            #[doc(alias = "brokerConfigPath")]
            pub source: Option<std::path::PathBuf>,
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* $($($beside: $beside_default,)*)? warnings: Vec::new(), source: None }
            }
        }

        impl $name {
            /// The keys, in the order of the documentation.
            pub const KEYS: &'static [$crate::config::Key] = &[$(
                $crate::config::Key {
                    name: $key,
                    field: stringify!($field),
                    kind: <$kind as $crate::config::value::Value>::KIND,
                    words: <$kind as $crate::config::value::Value>::ALLOWED,
                    allowed: $allowed,
                    default: || {
                        let default: $kind = $default;
                        $crate::config::value::Value::print(&default)
                    },
                    process: $crate::config::Process::$process,
                    change: $crate::config::Change::$change,
                    doc: $doc,
                },
            )*];

            /// Reads a properties file.
            ///
            /// # Errors
            /// If the file cannot be read, or a value is not allowed: with file, line, key, value and what is.
            pub fn from_file(path: &std::path::Path) -> $crate::Result<Self> {
                $crate::config::table::from_file(path)
            }

            /// Reads the text of a properties file that messages call `file`.
            ///
            /// # Errors
            /// If a value is not allowed: with file, line, key, value and what is.
            pub fn from_text(text: &str, file: &str) -> $crate::Result<Self> {
                $crate::config::table::from_text(text, file)
            }

            /// Sets one key by its name, Apache's (`sendMsgTimeout`) or the field's (`send_msg_timeout`). A key of a
            /// server that nothing obeys is added to `warnings`.
            ///
            /// # Errors
            /// If the value is not allowed: with key, value and what is. If nothing obeys the key of a client,
            /// producer or consumer: with the nearest one.
            pub fn set(&mut self, key: &str, value: &str) -> $crate::Result<()> {
                $crate::config::table::set(self, "", key, value)
            }

            /// The defaults, with what these keys and values say: as [`set`](Self::set) one after the other.
            ///
            /// # Errors
            /// As [`set`](Self::set).
            pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
                pairs: impl IntoIterator<Item = (K, V)>,
            ) -> $crate::Result<Self> {
                $crate::config::table::from_pairs(pairs)
            }

            /// The value of a key as text; `None` if there is no such key.
            pub fn get(&self, key: &str) -> Option<String> {
                $crate::config::table::Settings::text_of(self, key)
            }

            /// These settings with `changes` (keys and values) made while the process runs; all of them or none.
            ///
            /// # Errors
            /// Naming the first key that is unknown or takes effect at the start only, or value that is not allowed.
            pub fn updated(&self, changes: &[(String, String)]) -> $crate::Result<Self> {
                $crate::config::table::updated(self, changes)
            }

            /// Makes `changes` in the properties file `path` as well; the file as it was stands in `.bak` afterwards.
            ///
            /// # Errors
            /// If the file cannot be read or written; nothing is lost then.
            pub fn rewrite_file(path: &std::path::Path, changes: &[(String, String)]) -> $crate::Result<()> {
                $crate::config::table::rewrite_file(path, changes)
            }

            /// All keys and values as the text of a properties file, sorted by key.
            pub fn to_properties_text(&self) -> String {
                $crate::config::table::to_text(self)
            }
        }

        impl $crate::config::table::Settings for $name {
            const PROCESS: $crate::config::Process = $crate::config::Process::$process;

            fn keys() -> &'static [$crate::config::Key] {
                Self::KEYS
            }

            fn assign(&mut self, key: &str, value: &str) -> Option<bool> {
                match key {
                    $($key => Some(match $crate::config::table::read(value, $allowed) {
                        Some(value) => {
                            self.$field = value;
                            true
                        }
                        None => false,
                    }),)*
                    _ => None,
                }
            }

            fn text_of(&self, key: &str) -> Option<String> {
                match key {
                    $($key => Some($crate::config::value::Value::print(&self.$field)),)*
                    _ => None,
                }
            }

            fn notes(&mut self) -> &mut Vec<String> {
                &mut self.warnings
            }

            fn source_slot(&mut self) -> &mut Option<std::path::PathBuf> {
                &mut self.source
            }
        }
    };
}
pub(super) use settings;
