//! `ferromq broker`: a broker as its own process.

use std::path::PathBuf;

use ferromq::config::BrokerConfig;
use ferromq::instance::BrokerProcess;

use crate::process::Stop;
use crate::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// Name servers to register with, host:port separated by ;
    /// [default: the file's namesrvAddr, else the environment's NAMESRV_ADDR]
    #[arg(short, long, value_name = "ADDRS")]
    namesrv: Option<String>,
    /// Apache's broker.conf, or one like it
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Further settings; they win over the file
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let config = settings(args)?;
    ferromq::config::report(&config.warnings);
    let host = config.broker_ip1.clone();

    let stop = Stop::listen()?;
    let broker = BrokerProcess::start(config)?;
    stop.wait(&format!("broker {host}:{}", broker.port()));
    Ok(broker.stop()?)
}

/// Environment, file, `key=value` and options, each winning over the one before.
fn settings(args: Args) -> Result<BrokerConfig, Failure> {
    let mut config = match &args.config {
        Some(file) => BrokerConfig::from_file(file)?,
        None => BrokerConfig::default(),
    };
    for setting in &args.settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("{setting:?} is no setting; write KEY=VALUE")))?;
        config.set(key.trim(), value).map_err(|error| Failure::Usage(error.context().to_owned()))?;
    }
    let from_environment = || std::env::var("NAMESRV_ADDR").ok().filter(|addresses| !addresses.is_empty());
    config.namesrv_addr = args.namesrv.or(config.namesrv_addr).or_else(from_environment);
    let Some(addresses) = &config.namesrv_addr else {
        return Err(Failure::Usage(
            "no name server to register with; give -n HOST:9876, or set namesrvAddr or NAMESRV_ADDR".into(),
        ));
    };
    for address in addresses.split(';').map(str::trim).filter(|address| !address.is_empty()) {
        let port =
            address.rsplit_once(':').map(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok()));
        if port.flatten().flatten().is_none() {
            let text =
                format!("{address:?} in {addresses:?} is no name server address; write HOST:PORT;HOST:PORT");
            return Err(Failure::Usage(text));
        }
    }
    Ok(config)
}
