//! `ferromq server`: name server and broker in one process.

use std::path::PathBuf;

use ferromq::config::BrokerConfig;
use ferromq::instance::{Server, ServerOptions};

use crate::process::{absolute, Stop};
use crate::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// Directory of everything that is kept; made if missing [default: the file's storePathRootDir, else ferromq-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address that is listened on and told to clients; 0.0.0.0 listens on every one
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port of the name server; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 9876)]
    namesrv_port: u16,
    /// Port of the broker; 0 picks a free one [default: the file's listenPort, else 10911]
    #[arg(long, value_name = "PORT")]
    broker_port: Option<u16>,
    /// Further settings of the broker: Apache's broker.conf, or one like it
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let broker =
        args.config.as_deref().map_or_else(|| Ok(BrokerConfig::default()), BrokerConfig::from_file)?;
    ferromq::config::report(&broker.warnings);
    let from_file = || Some(broker.store_path_root_dir.clone()).filter(|dir| *dir != default_root());
    let data = absolute(&args.data.or_else(from_file).unwrap_or_else(|| "ferromq-data".into()))?;
    let mut options = ServerOptions::new(&data);
    options.host = args.host;
    options.namesrv_port = args.namesrv_port;
    options.broker_port = args.broker_port.unwrap_or(broker.listen_port);
    options.broker = broker;
    // Apache keeps these in the user's home, where two servers of one user would share them.
    options.namesrv.kv_config_path = data.join("namesrv/kvConfig.json");
    options.namesrv.config_store_path = data.join("namesrv/namesrv.properties");
    let host = options.host.clone();

    let stop = Stop::listen()?;
    let server = Server::start(options)?;
    stop.wait(&format!(
        "name server {host}:{}, broker {host}:{}",
        server.namesrv_port(),
        server.broker_port()
    ));
    Ok(server.stop()?)
}

fn default_root() -> PathBuf {
    BrokerConfig::default().store_path_root_dir
}
