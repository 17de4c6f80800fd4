//! `ferromq namesrv`: a name server as its own process.

use std::path::PathBuf;

use ferromq::instance::NamesrvProcess;

use crate::process::{namesrv_config, Stop};
use crate::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// Apache's namesrv.properties, or one like it
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Port to listen on; 0 picks a free one [default: the file's listenPort, else 9876]
    #[arg(short, long)]
    port: Option<u16>,
    /// Address to listen on [default: the file's bindAddress, else every address]
    #[arg(long)]
    host: Option<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut config = namesrv_config(args.config.as_deref())?;
    config.listen_port = args.port.unwrap_or(config.listen_port);
    config.bind_address = args.host.unwrap_or(config.bind_address);
    let host = config.bind_address.clone();

    let stop = Stop::listen()?;
    let namesrv = NamesrvProcess::start(config)?;
    stop.wait(&format!("name server {host}:{}", namesrv.port()));
    namesrv.stop();
    Ok(())
}
