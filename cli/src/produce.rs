//! `ferromq produce`: the lines of standard input, or of a file, as messages.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ferromq::client::{Producer, ProducerOptions, Sent};
use ferromq::message::Message;
use ferromq::{Error, ErrorKind, Instance};

use crate::process::connect;
use crate::tls::Tls;
use crate::Failure;

/// Messages of one batch together have at most this many bytes; what brokers take by default is four times that.
const BATCH_BYTES: usize = 1 << 20;

#[derive(clap::Args)]
pub struct Args {
    /// Name servers, host:port;host:port [default: the environment's NAMESRV_ADDR, else 127.0.0.1:9876]
    #[arg(short, long, value_name = "ADDRESSES")]
    namesrv: Option<String>,
    /// Topic to send to
    #[arg(short, long)]
    topic: String,
    /// Tag of every message
    #[arg(long)]
    tag: Option<String>,
    /// Key of every message; may be given several times
    #[arg(short, long)]
    key: Vec<String>,
    /// Property of every message; may be given several times
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = property)]
    property: Vec<(String, String)>,
    /// Group of producers to belong to
    #[arg(short, long, default_value = "ferromq-produce")]
    group: String,
    /// Reads this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Messages end with a zero byte instead of a line end, so that they may have several lines
    #[arg(short = '0', long)]
    null: bool,
    /// The whole input is one message
    #[arg(long, conflicts_with_all = ["null", "batch"])]
    whole: bool,
    /// Sends up to this many messages together, which is faster
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Prints where each message, or each batch, is stored
    #[arg(long)]
    print: bool,
    /// Time limit of each send in seconds, with all its attempts
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
    #[command(flatten)]
    tls: Tls,
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write name=value, with both sides".into()),
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let template = template(&args).map_err(|error| Failure::Usage(error.to_string()))?;
    let input: Box<dyn BufRead> = match &args.file {
        None => Box::new(io::stdin().lock()),
        Some(path) => {
            let file =
                File::open(path).map_err(|error| Error::io("read", path.display().to_string(), error))?;
            Box::new(BufReader::new(file))
        }
    };
    let instance = connect(args.namesrv.as_deref(), &args.tls)?;
    let mut pipe = Pipe::new(&instance, &args, template)?;
    let done = pipe.send_all(input);
    pipe.report();
    let closed = instance.close();
    done?;
    Ok(closed?)
}

/// A message with all but the body.
fn template(args: &Args) -> ferromq::Result<Message> {
    let mut message = Message::new(&*args.topic, "");
    if let Some(tag) = &args.tag {
        message = message.with_tag(tag)?;
    }
    for key in &args.key {
        message = message.with_key(key)?;
    }
    for (name, value) in &args.property {
        message = message.with_property(name, value)?;
    }
    Ok(message)
}

/// What goes from input to cluster, and how much did.
struct Pipe {
    producer: Producer,
    template: Message,
    separator: u8,
    whole: bool,
    batch: usize,
    print: bool,
    waiting: Vec<Message>,
    waiting_bytes: usize,
    start: Instant,
    sent: u64,
    bytes: u64,
    empty: u64,
}

impl Pipe {
    fn new(instance: &Instance, args: &Args, template: Message) -> Result<Pipe, Failure> {
        let options = ProducerOptions {
            producer_group: args.group.clone(),
            send_msg_timeout: Duration::from_secs(args.timeout),
            // What ends a pipe's patience is the time limit: a broker may be starting anew.
            retry_times_when_send_failed: 100,
            ..ProducerOptions::default()
        };
        Ok(Pipe {
            producer: instance.producer_with(options)?,
            template,
            separator: if args.null { 0 } else { b'\n' },
            whole: args.whole,
            batch: args.batch as usize,
            print: args.print,
            waiting: Vec::new(),
            waiting_bytes: 0,
            start: Instant::now(),
            sent: 0,
            bytes: 0,
            empty: 0,
        })
    }

    fn send_all(&mut self, mut input: Box<dyn BufRead>) -> Result<(), Failure> {
        let read_failed = |error| Failure::Failed(Error::io("read", "the input", error));
        let mut body = Vec::new();
        if self.whole {
            input.read_to_end(&mut body).map_err(read_failed)?;
            self.add(body)?;
            return self.send_waiting();
        }
        while input.read_until(self.separator, &mut body).map_err(read_failed)? > 0 {
            if body.last() == Some(&self.separator) {
                body.pop();
            }
            self.add(std::mem::take(&mut body))?;
        }
        self.send_waiting()
    }

    /// Takes a body; sends what waits when that is as much as may go together.
    fn add(&mut self, body: Vec<u8>) -> Result<(), Failure> {
        if body.is_empty() {
            // A message has a body.
            self.empty += 1;
            return Ok(());
        }
        if self.waiting_bytes + body.len() > BATCH_BYTES {
            self.send_waiting()?;
        }
        self.waiting_bytes += body.len();
        self.waiting.push(Message { body: body.into(), ..self.template.clone() });
        if self.waiting.len() >= self.batch {
            self.send_waiting()?;
        }
        Ok(())
    }

    fn send_waiting(&mut self) -> Result<(), Failure> {
        let sent = match self.waiting.as_slice() {
            [] => return Ok(()),
            [one] => self.producer.send(one)?,
            several => self.producer.send_batch(several)?,
        };
        self.sent += self.waiting.len() as u64;
        self.bytes += self.waiting_bytes as u64;
        self.waiting.clear();
        self.waiting_bytes = 0;
        if self.print {
            print(&sent)?;
        }
        Ok(())
    }

    /// Says on stderr what was done.
    fn report(&self) {
        let (sent, bytes, topic) = (self.sent, self.bytes, &self.template.topic);
        let seconds = self.start.elapsed().as_secs_f64();
        eprintln!("{sent} messages of {bytes} bytes sent to {topic} in {seconds:.2} s");
        if self.empty > 0 {
            eprintln!("{} empty ones left out: a message has a body", self.empty);
        }
        if !self.waiting.is_empty() {
            eprintln!("{} messages that were read are not known to be stored", self.waiting.len());
        }
    }
}

fn print(sent: &Sent) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{sent}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, "write", "standard output").with_source(error).into())
        }
        // Nobody reads the results any more; the messages are sent all the same.
        _ => Ok(()),
    }
}
