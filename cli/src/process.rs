//! What the long-running commands share: the line that says "ready", signals, and settings files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use ferromq::config::NamesrvConfig;
use ferromq::{ClientOptions, Error, ErrorKind, Instance};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::tls::Tls;
use crate::Failure;

/// Signals that end the process in an orderly way. Made before anything is started, so that none is missed.
pub struct Stop(Signals);

impl Stop {
    /// Takes SIGTERM and SIGINT over from here on.
    pub fn listen() -> Result<Stop, Failure> {
        let signals = Signals::new([SIGTERM, SIGINT]);
        Ok(Stop(signals.map_err(|error| Error::io("start", "signal handler", error))?))
    }

    /// Says on stdout that the process accepts requests, then waits for a signal. ^C during the shutdown ends the
    /// process at once: who presses it does not want to wait.
    pub fn wait(mut self, ready: &str) {
        let mut stdout = std::io::stdout().lock();
        // A closed stdout is no reason to end: nobody wanted to know.
        let _unread = writeln!(stdout, "ferromq {} ready: {ready}", env!("CARGO_PKG_VERSION"));
        let _unread = stdout.flush();
        drop(stdout);
        if let Some(signal) = self.0.forever().next() {
            tracing::info!("{} received, shutting down", name(signal));
        }
        std::thread::spawn(move || {
            // SIGTERM may come more than once for one wish to end: to the process and to its group.
            if self.0.forever().any(|signal| signal == SIGINT) {
                tracing::warn!("SIGINT received while shutting down, ending at once");
                std::process::exit(1);
            }
        });
    }
}

fn name(signal: i32) -> &'static str {
    if signal == SIGINT {
        "SIGINT"
    } else {
        "SIGTERM"
    }
}

/// Settings of a name server whose file, if given, is `file`; its findings are logged.
pub fn namesrv_config(file: Option<&Path>) -> Result<NamesrvConfig, Failure> {
    let config = file.map_or_else(|| Ok(NamesrvConfig::default()), NamesrvConfig::from_file)?;
    ferromq::config::report(&config.warnings);
    Ok(config)
}

/// `path` as an absolute one, so that it still means the same in messages read elsewhere.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        let context = format!("{} is not usable as a path", path.display());
        Error::new(ErrorKind::InvalidArgument, "start", context).with_source(error).into()
    })
}

/// A client of the cluster with these name servers, or those of the environment's NAMESRV_ADDR, or that of this machine.
pub fn connect(name_servers: Option<&str>, tls: &Tls) -> Result<Instance, Failure> {
    connect_patiently(name_servers, tls, |_| {})
}

/// As [`connect`], with further settings.
pub fn connect_patiently(
    name_servers: Option<&str>,
    tls: &Tls,
    change: impl FnOnce(&mut ClientOptions),
) -> Result<Instance, Failure> {
    let from_environment = std::env::var("NAMESRV_ADDR").ok().filter(|addresses| !addresses.is_empty());
    let addresses = name_servers.map(str::to_owned).or(from_environment);
    let mut options = ClientOptions::new(addresses.as_deref().unwrap_or("127.0.0.1:9876"));
    tls.apply(&mut options)?;
    change(&mut options);
    ferromq::connect_with(options).map_err(|error| match error.kind() {
        ErrorKind::InvalidArgument => Failure::Usage(error.to_string()),
        _ => Failure::Failed(error),
    })
}

/// A flag that SIGINT and SIGTERM set; a second one ends the process at once.
pub fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 1, stopped.clone())
            .and_then(|_| signal_hook::flag::register(signal, stopped.clone()))
            .map_err(|error| Error::io("start", "signal handler", error))?;
    }
    Ok(stopped)
}
