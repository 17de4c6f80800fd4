//! What commands that connect are told about encrypted connections.

use std::path::PathBuf;

use ferromq::ClientOptions;

use crate::process::absolute;
use crate::Failure;

#[derive(clap::Args)]
#[command(next_help_heading = "Encrypted connections")]
pub struct Tls {
    /// Encrypts connections; so does each of the following
    #[arg(long)]
    tls: bool,
    /// Certificates of CAs, or of servers, that are trusted, PEM [default: those that the system trusts]
    #[arg(long, value_name = "FILE")]
    tls_trust: Option<PathBuf>,
    /// Name or IP address that servers' certificates must be for [default: the host that is connected to]
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
    /// Certificate to show to servers that ask for one, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Trusts every server: whoever stands between can read and change everything
    #[arg(long, conflicts_with = "tls_trust")]
    tls_any_server: bool,
    /// Apache's tls.properties, or one like it: keys tls.client.*, a key's password too; it stands above the others
    #[arg(long, value_name = "FILE")]
    tls_config: Option<PathBuf>,
}

impl Tls {
    /// Makes them the settings of a client.
    pub fn apply(&self, options: &mut ClientOptions) -> Result<(), Failure> {
        let files = [&self.tls_trust, &self.tls_cert, &self.tls_config];
        options.tls_enable = self.tls
            || self.tls_any_server
            || self.tls_name.is_some()
            || files.iter().any(|path| path.is_some());
        let absolute = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        options.tls_client_trust_cert_path = absolute(&self.tls_trust)?;
        options.tls_client_cert_path = absolute(&self.tls_cert)?;
        options.tls_client_key_path = absolute(&self.tls_key)?;
        options.tls_client_server_name.clone_from(&self.tls_name);
        options.tls_client_auth_server = !self.tls_any_server;
        if let Some(path) = absolute(&self.tls_config)? {
            options.tls_config_file = path;
        }
        Ok(())
    }
}
