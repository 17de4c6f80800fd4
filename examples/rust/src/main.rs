//! Runs a program by its name: `cargo run -p ferromq-examples -- NAME [DIRECTORY | HOST:PORT]`.

use std::process::ExitCode;
use std::time::Duration;

use ferromq_examples as examples;
use ferromq_examples::{instance, Failure};

const NAMES: &str =
    "quickstart quickstart_producer consumer producer retry no_retry idempotent dedup flag_ttl filter_tag \
    filter_sql delay ordered order_timeout transaction points broadcast pull embed_and_serve logappender";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    match run(name, arguments.get(1).map(String::as_str)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, place: Option<&str>) -> Result<(), Failure> {
    if name == "embed_and_serve" {
        return examples::embed_and_serve::run(place).map(drop);
    }
    if name == "broadcast" {
        return examples::broadcast::run(place).map(drop);
    }
    if !NAMES.split_ascii_whitespace().any(|known| known == name) {
        return Err(format!("give one of these names: {NAMES}").into());
    }
    let mq = instance(place)?;
    match name {
        "quickstart" => examples::quickstart::run(&mq).map(drop)?,
        "quickstart_producer" => examples::quickstart_producer::run(&mq).map(drop)?,
        "consumer" => examples::consumer::run(&mq).map(drop)?,
        "producer" => examples::producer::run(&mq).map(drop)?,
        "retry" => examples::retry::run(&mq).map(drop)?,
        "no_retry" => examples::no_retry::run(&mq).map(drop)?,
        "idempotent" => examples::idempotent::run(&mq).map(drop)?,
        "dedup" => dedup(&mq)?,
        "flag_ttl" => examples::flag_ttl::run(&mq, Duration::from_secs(72 * 3600)).map(drop)?,
        "filter_tag" => examples::filter_tag::run(&mq).map(drop)?,
        "filter_sql" => examples::filter_sql::run(&mq).map(drop)?,
        "delay" => examples::delay::run(&mq, Duration::from_secs(10)).map(drop)?,
        "ordered" => examples::ordered::run(&mq).map(drop)?,
        "order_timeout" => examples::order_timeout::run(&mq).map(drop)?,
        "transaction" => examples::transaction::run(&mq).map(drop)?,
        "points" => examples::points::run(&mq).map(drop)?,
        "logappender" => examples::logappender::run(&mq).map(drop)?,
        "pull" => examples::pull::run(&mq).map(drop)?,
        other => return Err(format!("{other} is not there").into()),
    }
    mq.close()?;
    Ok(())
}

/// The database and the pause between two steps come from the environment, so that it can be killed in between.
fn dedup(mq: &ferromq::Instance) -> Result<(), Failure> {
    let database = std::env::var("DEDUP_DATABASE").unwrap_or_else(|_| ":memory:".into());
    let pause = std::env::var("DEDUP_PAUSE_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    examples::dedup::run(mq, &database, Duration::from_millis(pause)).map(drop)
}
