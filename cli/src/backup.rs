//! `ferromq backup`: a copy of a broker's directory, made by the broker while it runs.

use std::time::Duration;

use ferromq::{ClientOptions, Error, ErrorKind};

use crate::process::connect_patiently;
use crate::tls::Tls;
use crate::Failure;

/// Has brokers make consistent copies of their directories while they go on
///
/// Each master makes one below its backupPath, which its settings must name. The copy is a store directory: a broker,
/// FerroMQ's or Apache's, is started on it, or on a copy of it, as storePathRootDir.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the backup: a directory of this name is made below the broker's backupPath
    name: String,
    /// Name servers, host:port;host:port [default: the environment's NAMESRV_ADDR, else 127.0.0.1:9876]
    #[arg(short, long, value_name = "ADDRESSES")]
    namesrv: Option<String>,
    /// Only the broker at this address, host:port
    #[arg(short, long, value_name = "ADDRESS")]
    broker: Option<String>,
    /// Copies all files; else those that are full, and so never change again, are linked where the file system can
    #[arg(long)]
    copy: bool,
    /// How long to wait for each broker, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
    #[command(flatten)]
    tls: Tls,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let patience =
        |options: &mut ClientOptions| options.mq_client_api_timeout = Duration::from_secs(args.timeout);
    let instance = connect_patiently(args.namesrv.as_deref(), &args.tls, patience)?;
    let made = instance.admin().backup(&args.name, args.broker.as_deref(), args.copy)?;
    instance.close()?;
    for (broker, made) in &made {
        let (end, copied, linked) = (made.end, made.copied, made.linked);
        println!("{broker}: {} up to {end}, {copied} bytes copied, {linked} shared", made.directory);
    }
    if made.is_empty() {
        let error =
            Error::new(ErrorKind::NotFound, "back up", "no broker is registered at present".to_owned());
        return Err(error.into());
    }
    Ok(())
}
