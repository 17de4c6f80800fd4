//! `ferromq log`: the files of a store, looked at from outside.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ferromq::broker::examined;
use ferromq::clock::Clock;
use ferromq::config::BrokerConfig;
use ferromq::message::{property, sys_flag};
use ferromq::record::RecordView;
use ferromq::store::{self, Findings, Item, Problem, Repaired, StoreOptions};
use ferromq::{Error, ErrorKind, OffsetId};
use serde_json::{json, Value};

use crate::format::base64;
use crate::process::absolute;
use crate::Failure;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Says what is damaged, where and why, and what is lost by it. Writes nothing; exit code 1 if anything is
    Check {
        #[command(flatten)]
        place: StorePlace,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Prints the records of the commit log
    Dump(Dump),
    /// Does what opening the store would do, with the whole log, and makes damaged stretches readable for Apache's
    /// brokers, too. What was there is kept in DIR/damaged
    Repair {
        #[command(flatten)]
        place: StorePlace,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub struct StorePlace {
    /// The store's directory, with commitlog in it
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The broker's settings, for sizes and places [default: what the files tell]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct Dump {
    #[command(flatten)]
    place: StorePlace,
    /// First commit-log offset
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: i64,
    /// At most so many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Records of this topic only
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// One JSON object a line instead of columns
    #[arg(long)]
    json: bool,
    /// The bodies as well (with --json)
    #[arg(long, requires = "json")]
    body: bool,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check { place, json } | Command::Repair { place, json, dry_run: true } => {
            check(&place, json)
        }
        Command::Repair { place, json, dry_run: false } => repair(&place, json),
        Command::Dump(dump) => dump.run(),
    }
}

/// A store directory, and what of it is known before the log is read.
struct Opened {
    options: StoreOptions,
    /// Damage of the tables in `config`.
    tables: Vec<String>,
    /// What cannot be looked at.
    notes: Vec<String>,
}

impl StorePlace {
    fn open(&self) -> Result<Opened, Failure> {
        let config =
            self.config.as_deref().map_or_else(|| Ok(BrokerConfig::default()), BrokerConfig::from_file)?;
        ferromq::config::report(&config.warnings);
        let config = BrokerConfig { store_path_root_dir: absolute(&self.dir)?, ..config };
        let (mut options, tables) = examined(&config);
        options.holder = "ferromq log".into();
        let notes = match self.config {
            Some(_) => Vec::new(),
            None => store::fit_to_files(&mut options)?,
        };
        Ok(Opened { options, tables, notes })
    }
}

fn check(place: &StorePlace, as_json: bool) -> Result<(), Failure> {
    let opened = place.open()?;
    let found = store::check(&opened.options, Clock::new())?;
    print(|out| match as_json {
        true => writeln!(out, "{}", check_json(&opened, &found)),
        false => print_findings(out, &opened, &found),
    })?;
    match found.is_sound() && opened.tables.is_empty() {
        true => Ok(()),
        false => {
            let context = format!("{} is damaged; `ferromq log repair` mends the log", place.dir.display());
            Err(Error::new(ErrorKind::Corrupt, "check log", context).into())
        }
    }
}

fn repair(place: &StorePlace, as_json: bool) -> Result<(), Failure> {
    let opened = place.open()?;
    let Repaired { before, after, kept, filled } = store::repair(&opened.options, Clock::new())?;
    print(|out| {
        if as_json {
            let mut object = check_json(&opened, &before);
            object["kept"] = paths(&kept);
            object["filled"] = filled.into();
            object["readable"] = after.problems.is_empty().into();
            return writeln!(out, "{object}");
        }
        print_findings(out, &opened, &before)?;
        for path in &kept {
            writeln!(out, "kept: {}", path.display())?;
        }
        let (records, end) = (after.report.records_checked, after.report.end);
        writeln!(out, "repaired: {filled} stretches filled, {records} records up to offset {end} can be read")
    })?;
    if after.problems.is_empty() && after.index.is_empty() {
        return Ok(());
    }
    let context = format!("{} is still damaged; see `ferromq log check`", place.dir.display());
    Err(Error::new(ErrorKind::Corrupt, "repair log", context).into())
}

/// Writes to stdout; a reader that has seen enough is no failure.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", "standard output", error).into())
        }
        _ => Ok(()),
    }
}

fn print_findings(out: &mut dyn Write, opened: &Opened, found: &Findings) -> io::Result<()> {
    let report = &found.report;
    let root = opened.options.root.display();
    let how = if report.clean { "shut down in order" } else { "not shut down in order" };
    let (files, records) = (found.log_files, report.records_checked);
    writeln!(
        out,
        "{root}: {files} commit-log files, {records} records from offset {} to {}, {how}",
        found.log_start, report.end
    )?;
    for problem in &found.problems {
        print_problem(out, problem)?;
    }
    for lost in &report.lost {
        let (topic, queue, offsets) = (&lost.topic, lost.queue_id, &lost.offsets);
        writeln!(out, "lost: {topic}, queue {queue}, {}", numbers(offsets))?;
    }
    for note in report.notes.iter().chain(&found.index).chain(&opened.tables) {
        writeln!(out, "damaged: {note}")?;
    }
    for (count, what) in [
        (report.entries_rebuilt, "queue entries would be made from the log"),
        (report.entries_removed, "queue entries would be removed"),
    ] {
        if count > 0 {
            writeln!(out, "at the next start {count} {what}")?;
        }
    }
    opened.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    if found.is_sound() && opened.tables.is_empty() {
        writeln!(out, "nothing is damaged")?;
    }
    Ok(())
}

fn numbers(offsets: &std::ops::Range<i64>) -> String {
    match offsets.end - offsets.start {
        1 => format!("offset {}", offsets.start),
        _ => format!("offsets {} to {}", offsets.start, offsets.end - 1),
    }
}

fn print_problem(out: &mut dyn Write, problem: &Problem) -> io::Result<()> {
    let damage = &problem.damage;
    let fate = if problem.skipped { "passed over, valid records follow" } else { "cut off, nothing follows" };
    writeln!(
        out,
        "damaged: {}, byte {} (offset {}), {} bytes: {}; {fate}",
        problem.file.display(),
        problem.at,
        damage.offset,
        damage.length,
        damage.reason
    )?;
    problem.record.iter().try_for_each(|record| writeln!(out, "    it was {record}"))
}

fn check_json(opened: &Opened, found: &Findings) -> Value {
    let report = &found.report;
    let lost = report.lost.iter().map(|lost| {
        json!({"topic": lost.topic, "queueId": lost.queue_id, "from": lost.offsets.start, "to": lost.offsets.end - 1})
    });
    json!({
        "directory": opened.options.root.display().to_string(),
        "sound": found.is_sound() && opened.tables.is_empty(),
        "cleanShutdown": report.clean,
        "files": found.log_files,
        "records": report.records_checked,
        "start": found.log_start,
        "end": report.end,
        "damage": found.problems.iter().map(problem_json).collect::<Vec<_>>(),
        "lost": lost.collect::<Vec<_>>(),
        "queues": report.notes,
        "index": found.index,
        "tables": opened.tables,
        "entriesToMake": report.entries_rebuilt,
        "entriesToRemove": report.entries_removed,
        "notes": opened.notes,
    })
}

fn problem_json(problem: &Problem) -> Value {
    let damage = &problem.damage;
    json!({
        "file": problem.file.display().to_string(),
        "at": problem.at,
        "offset": damage.offset,
        "length": damage.length,
        "reason": damage.reason,
        "skipped": problem.skipped,
        "record": problem.record,
    })
}

fn paths(paths: &[PathBuf]) -> Value {
    paths.iter().map(|path: &PathBuf| Path::display(path).to_string()).collect()
}

impl Dump {
    fn run(&self) -> Result<(), Failure> {
        let opened = self.place.open()?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut left = self.count.unwrap_or(u64::MAX);
        let failed = |error| Error::io("write", "standard output", error);
        let mut closed = !self.json && self.header(&mut out).is_err() || left == 0;
        store::walk(&opened.options, self.from, &mut |item| {
            if closed {
                return Ok(false);
            }
            let written = match &item {
                Item::Record(record)
                    if self.topic.as_deref().is_some_and(|topic| topic != record.topic()) =>
                {
                    return Ok(true);
                }
                Item::Record(record) => {
                    left -= 1;
                    self.record(&mut out, record)
                }
                // To stdout, too: between the records is where it stands.
                Item::Damage(problem) if self.json => {
                    writeln!(out, "{}", json!({"damage": problem_json(problem)}))
                }
                Item::Damage(problem) => write!(out, "# ").and_then(|()| print_problem(&mut out, problem)),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => closed = true,
                written => written.map_err(failed)?,
            }
            Ok(!closed && left > 0)
        })?;
        match out.flush() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error).into()),
            _ => Ok(()),
        }
    }

    fn header(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "# offset\tsize\ttopic\tqueue\tqueueOffset\tstored\tborn\toffsetId\tuniqueId\ttag\tkeys\tbody\ttransaction"
        )
    }

    fn record(&self, out: &mut dyn Write, record: &RecordView<'_>) -> io::Result<()> {
        if self.json {
            return writeln!(out, "{}", record_json(record, self.body));
        }
        let (offset, size, topic) = (record.physical_offset(), record.total_size(), plain(record.topic()));
        let (queue, number) = (record.queue_id(), record.queue_offset());
        let (stored, born, id) = (record.store_timestamp(), record.born_timestamp(), offset_id(record));
        let text = |name| plain(record.property(name).unwrap_or_default());
        let (unique, tag, keys) = (text(property::UNIQ_KEY), text(property::TAGS), text(property::KEYS));
        let (body, transaction) = (record.body().len(), transaction(record).unwrap_or_default());
        writeln!(
            out,
            "{offset}\t{size}\t{topic}\t{queue}\t{number}\t{stored}\t{born}\t{id}\t{unique}\t{tag}\t{keys}\t{body}\t{transaction}"
        )
    }
}

/// Text that fits a column.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn offset_id(record: &RecordView<'_>) -> String {
    OffsetId { host: record.store_host(), physical_offset: record.physical_offset() }.to_string()
}

/// Which part of a transaction a record is.
fn transaction(record: &RecordView<'_>) -> Option<&'static str> {
    match record.sys_flag() & sys_flag::TRANSACTION_MASK {
        sys_flag::TRANSACTION_PREPARED => Some("prepared"),
        sys_flag::TRANSACTION_ROLLBACK => Some("rolled back"),
        0 => None,
        _ => Some("committed"),
    }
}

fn record_json(record: &RecordView<'_>, with_body: bool) -> Value {
    let mut object = json!({
        "offset": record.physical_offset(),
        "size": record.total_size(),
        "topic": record.topic(),
        "queueId": record.queue_id(),
        "queueOffset": record.queue_offset(),
        "storeTimestamp": record.store_timestamp(),
        "bornTimestamp": record.born_timestamp(),
        "bornHost": record.born_host().to_string(),
        "offsetId": offset_id(record),
        "uniqueId": record.property(property::UNIQ_KEY),
        "tag": record.property(property::TAGS),
        "keys": record.property(property::KEYS),
        "bodyLength": record.body().len(),
        "flag": record.flag(),
        "sysFlag": record.sys_flag(),
        "reconsumeTimes": record.reconsume_times(),
        "transaction": transaction(record),
    });
    if with_body {
        match std::str::from_utf8(record.body()) {
            Ok(text) => object["body"] = text.into(),
            Err(_) => object["bodyBase64"] = base64(record.body()).into(),
        }
    }
    object
}
