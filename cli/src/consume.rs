//! `ferromq consume`: messages to standard output.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ferromq::client::{Consumer, ConsumerOptions, StartFrom, Subscription};
use ferromq::config::Timestamp;
use ferromq::{Error, ErrorKind};

use crate::format::Format;
use crate::process::{connect, stop_flag};
use crate::tls::Tls;
use crate::Failure;

/// How often the wait for messages is interrupted to look for signals and for the end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often brokers are told what was printed: a kill -9 makes at most the messages of this time come again.
const STORE_EVERY: Duration = Duration::from_secs(1);

/// Messages printed before the output is flushed.
const BATCH: usize = 32;

#[derive(clap::Args)]
pub struct Args {
    /// Name servers, host:port;host:port [default: the environment's NAMESRV_ADDR, else 127.0.0.1:9876]
    #[arg(short, long, value_name = "ADDRESSES")]
    namesrv: Option<String>,
    /// Topic to consume
    #[arg(short, long)]
    topic: String,
    /// Group to consume in: shares the queues with its other members, and goes on where the group has stopped.
    /// Without it everything is read, and nothing remembered
    #[arg(short, long)]
    group: Option<String>,
    /// Where to begin without group, or when the group has not consumed yet: first, last, ms since 1970, or how long
    /// ago (30s, 15m, 2h, 1d) [default: first; with a group last]
    #[arg(long, value_name = "WHERE", value_parser = start_from)]
    from: Option<Start>,
    /// Ends after this many messages
    #[arg(short, long)]
    count: Option<u64>,
    /// Only messages with one of these tags: TagA || TagB
    #[arg(short, long, default_value = "*", hide_default_value = true)]
    expression: String,
    /// What is written of a message: raw (its body and a line end), json (one object a line), or a text with %b body,
    /// %k keys, %t tag, %T topic, %i message id, %B broker, %q queue, %o offset, %s store time, %c time of making,
    /// %p properties, %r retries, %%, and the escapes \n \t \r \0 \\
    #[arg(short, long, default_value = "raw", value_parser = Format::parse)]
    format: Format,
    /// Ends when everything has been written that was there
    #[arg(short = 'x', long)]
    exit: bool,
    #[command(flatten)]
    tls: Tls,
}

/// What `--from` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    First,
    Last,
    At(i64),
    Ago(Duration),
}

fn start_from(text: &str) -> Result<Start, String> {
    let wrong =
        || "write first, last, milliseconds since 1970, or a time ago such as 30s, 15m, 2h, 1d".to_string();
    match text {
        "first" => return Ok(Start::First),
        "last" => return Ok(Start::Last),
        _ => {}
    }
    if let Ok(ms) = text.parse() {
        return Ok(Start::At(ms));
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    Ok(Start::Ago(Duration::from_secs(number.checked_mul(seconds).ok_or_else(wrong)?)))
}

impl Start {
    fn resolve(self) -> (StartFrom, Option<Timestamp>) {
        let at = |ms| (StartFrom::Timestamp, Some(Timestamp::from_ms(ms)));
        match self {
            Start::First => (StartFrom::First, None),
            Start::Last => (StartFrom::Last, None),
            Start::At(ms) => at(ms),
            Start::Ago(ago) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                at(now.saturating_sub(ago).as_millis() as i64)
            }
        }
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let subscription = Subscription::tags(args.topic.as_str(), &args.expression);
    let subscription = subscription.map_err(|error| Failure::Usage(error.to_string()))?;
    let stopped = stop_flag()?;
    let instance = connect(args.namesrv.as_deref(), &args.tls)?;
    let default = if args.group.is_some() { Start::Last } else { Start::First };
    let (consume_from_where, consume_timestamp) = args.from.unwrap_or(default).resolve();
    let options = ConsumerOptions {
        consumer_group: args.group.clone(),
        consume_from_where,
        consume_timestamp,
        // What is not printed is not consumed.
        auto_commit: false,
        ..ConsumerOptions::default()
    };
    let consumer = instance.consumer_with(options)?;
    consumer.subscribe_to(subscription)?;
    consumer.start()?;
    let printed = print_all(&consumer, &args, &stopped);
    let closed = instance.close();
    printed?;
    Ok(closed?)
}

fn print_all(consumer: &Consumer, args: &Args, stopped: &AtomicBool) -> Result<(), Failure> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut stored = Instant::now();
    while left > 0 && !stopped.load(Ordering::SeqCst) {
        if args.exit && consumer.is_caught_up() {
            break;
        }
        let most = BATCH.min(usize::try_from(left).unwrap_or(BATCH));
        let messages = consumer.poll_at_most(most, LOOK_EVERY)?;
        let written = messages.iter().try_for_each(|message| args.format.write(message, &mut output));
        match written.and_then(|()| output.flush()) {
            Ok(()) => {}
            // The reader has seen enough. What it did not get is not committed.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => {
                return Err(Error::new(ErrorKind::Io, "write", "standard output").with_source(error).into());
            }
        }
        left -= messages.len() as u64;
        consumer.commit();
        if stored.elapsed() >= STORE_EVERY {
            consumer.flush()?;
            stored = Instant::now();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_begin_is_read() {
        assert_eq!(start_from("first"), Ok(Start::First));
        assert_eq!(start_from("1700000000000"), Ok(Start::At(1_700_000_000_000)));
        assert_eq!(start_from("15m"), Ok(Start::Ago(Duration::from_secs(900))));
        assert_eq!(start_from("2d"), Ok(Start::Ago(Duration::from_secs(172_800))));
        for text in ["", "m", "yesterday", "1w", "1.5h", "-3h", "ü", "99999999999999999999d"] {
            assert!(start_from(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_ago_is_before_now() {
        let (StartFrom::Timestamp, Some(time)) = Start::Ago(Duration::from_secs(3600)).resolve() else {
            panic!()
        };
        let ms = time.ms();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        assert!((now - 3_700_000..=now - 3_600_000).contains(&ms));
        assert_eq!(Start::Ago(Duration::MAX).resolve(), (StartFrom::Timestamp, Some(Timestamp::from_ms(0))));
    }
}
