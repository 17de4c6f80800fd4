//! `ferromq-member`: producers and consumers of ours that do what they are told on standard input; the twin of the Java
//! program `interop.Member`, whose documentation has the form of the lines.

mod consumers;
mod producers;

use ferromq::{ClientOptions, Instance, Listen, OpenOptions};
use ferromq_interop::member::{encode, fields, Fields};
use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex};

/// What a request gives back: fields, or why it failed.
type Answer = Result<Fields, String>;

/// A request's fields.
struct Args(Fields);

impl Args {
    fn get(&self, key: &str) -> Result<&str, String> {
        self.find(key).ok_or_else(|| format!("no {key} in the request"))
    }

    fn find(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn number<T: std::str::FromStr>(&self, key: &str, otherwise: T) -> Result<T, String> {
        match self.find(key) {
            None => Ok(otherwise),
            Some(text) => text.parse().map_err(|_| format!("{key}={text:?} is no number")),
        }
    }
}

fn why(error: impl Display) -> String {
    error.to_string()
}

/// An answer's fields.
fn answer<const N: usize>(pairs: [(&str, String); N]) -> Fields {
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Tells of something that happened by itself.
fn event(kind: &str, fields: &Fields) {
    say(&format!("* {kind}"), fields);
}

fn say(begin: &str, fields: &Fields) {
    let mut line = begin.to_owned();
    for (key, value) in fields {
        line.push_str(&format!(" {key}={}", encode(value)));
    }
    line.push('\n');
    // Nobody listens any more: this process is about to end.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

/// A client of its own for each producer and consumer, as members of one group need; where `embedded` is asked for, that
/// of the server in this process.
fn client(args: &Args) -> Result<Instance, String> {
    if args.find("embedded").is_some() {
        return EMBEDDED.lock().expect("embedded").clone().ok_or_else(|| "nothing was opened".to_owned());
    }
    let mut options = ClientOptions::new(args.get("ns")?);
    let mut set = |key: &str, value: &str| options.set(key, value).map_err(why);
    for key in ["pollNameServerInterval", "heartbeatBrokerInterval", "rebalanceInterval"] {
        set(key, "1000")?;
    }
    set("persistConsumerOffsetInterval", "500")?;
    set("mqClientApiTimeout", "20000")?;
    set("instanceName", &format!("{}-{}", args.get("name")?, std::process::id()))?;
    for (key, field) in [("clientIP", "clientip"), ("namespace", "namespace")] {
        if let Some(value) = args.find(field) {
            set(key, value)?;
        }
    }
    ferromq::connect_with(options).map_err(why)
}

/// The server in this process, if one was opened.
static EMBEDDED: Mutex<Option<Instance>> = Mutex::new(None);

/// Opens a server in this process, with its client, and a listener for others; answers the address of its name server.
fn open() -> Answer {
    let mut options = OpenOptions::memory();
    options.listen = Some(Listen::on_free_ports());
    let instance = ferromq::open_with(options).map_err(why)?;
    let (namesrv, _) = instance.listening().ok_or("it does not listen")?;
    *EMBEDDED.lock().expect("embedded") = Some(instance);
    Ok(answer([("ns", format!("127.0.0.1:{namesrv}"))]))
}

/// Everything that lives, by name.
#[derive(Default)]
struct State {
    producers: Mutex<HashMap<String, Arc<producers::Producing>>>,
    consumers: Mutex<HashMap<String, Arc<consumers::Consuming>>>,
}

fn run(state: &State, verb: &str, args: &Args) -> Answer {
    match verb {
        "open" => open(),
        "close" => {
            let instance = EMBEDDED.lock().expect("embedded").take().ok_or("nothing was opened")?;
            instance.close().map(|()| Fields::new()).map_err(why)
        }
        "producer" => {
            let producing = Arc::new(producers::Producing::start(args)?);
            let id = producing.client_id();
            state.producers.lock().expect("producers").insert(args.get("name")?.to_owned(), producing);
            Ok(answer([("client", id)]))
        }
        "consumer" => {
            let consuming = Arc::new(consumers::Consuming::start(args)?);
            let id = consuming.client_id();
            state.consumers.lock().expect("consumers").insert(args.get("name")?.to_owned(), consuming);
            Ok(answer([("client", id)]))
        }
        "assigned" => {
            let consumer = state.consumers.lock().expect("consumers").get(args.get("name")?).cloned();
            consumer.ok_or("no such consumer")?.assigned(args)
        }
        "stop" => {
            let name = args.get("name")?;
            let consumer = state.consumers.lock().expect("consumers").remove(name);
            let producer = state.producers.lock().expect("producers").remove(name);
            if let Some(consumer) = consumer {
                consumer.close()?;
            }
            producer.map_or(Ok(()), |producer| producer.close())?;
            Ok(Fields::new())
        }
        _ => {
            let producer = state.producers.lock().expect("producers").get(args.get("name")?).cloned();
            producer.ok_or_else(|| format!("no verb {verb}, or no such producer"))?.run(verb, args)
        }
    }
}

fn main() {
    // RUST_LOG=ferromq=debug tells in the process's log what the client does.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let state = Arc::new(State::default());
    say("* hello", &Fields::new());
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let mut words = line.split(' ');
        let (id, verb) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
        if id == "quit" {
            break;
        }
        let (args, state) = (Args(fields(words)), state.clone());
        std::thread::spawn(move || match run(&state, &verb, &args) {
            Ok(fields) => say(&format!("{id} ok"), &fields),
            Err(why) => say(&format!("{id} error {}", encode(&why)), &Fields::new()),
        });
    }
    // As the Java program: nothing is worth waiting for any more.
    std::process::exit(0);
}
