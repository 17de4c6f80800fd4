//! Settings of encrypted connections: Apache's keys `tls.*`, from the settings of a process and from the file that
//! `tls.config.file` names, and the certificate files that they name.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::properties;
use super::table::Settings;
use super::value::Value;
use super::{BrokerConfig, ClientOptions, NamesrvConfig};
use crate::{Error, ErrorKind, Result};

/// Where Apache looks for the settings of TLS unless told otherwise.
pub(super) const TLS_FILE: &str = "/etc/rocketmq/tls.properties";

/// Most bytes of a file with certificates or a key: all certificates of an operating system take a fifth of that.
const MAX_FILE: u64 = 4 << 20;

/// What a listening port makes of TLS (`tls.server.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text only.
    Disabled,
    /// Both; the first byte of a connection decides.
    Permissive,
    /// TLS only.
    Enforcing,
}

impl Value for TlsMode {
    const KIND: &'static str = "word";
    const ALLOWED: &'static str = "disabled, permissive or enforcing";

    fn read(text: &str) -> Option<Self> {
        [TlsMode::Disabled, TlsMode::Permissive, TlsMode::Enforcing]
            .into_iter()
            .find(|mode| mode.print().eq_ignore_ascii_case(text))
    }

    fn print(&self) -> String {
        match self {
            TlsMode::Disabled => "disabled".into(),
            TlsMode::Permissive => "permissive".into(),
            TlsMode::Enforcing => "enforcing".into(),
        }
    }
}

/// Whether a server asks clients for a certificate (`tls.server.need.client.auth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// It does not.
    None,
    /// Clients may have one.
    Optional,
    /// Clients without one are refused.
    Require,
}

impl Value for ClientAuth {
    const KIND: &'static str = "word";
    const ALLOWED: &'static str = "none, optional or require";

    fn read(text: &str) -> Option<Self> {
        [ClientAuth::None, ClientAuth::Optional, ClientAuth::Require]
            .into_iter()
            .find(|auth| auth.print().eq_ignore_ascii_case(text))
    }

    fn print(&self) -> String {
        match self {
            ClientAuth::None => "none".into(),
            ClientAuth::Optional => "optional".into(),
            ClientAuth::Require => "require".into(),
        }
    }
}

/// What is shown in place of a secret.
const HIDDEN: &str = "(hidden)";

/// A text that is never shown, neither in logs nor to admins.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Value for Secret {
    const KIND: &'static str = "secret";
    const ALLOWED: &'static str = "any text";

    fn read(text: &str) -> Option<Self> {
        // What was shown in its place must not become it.
        (text != HIDDEN).then(|| Secret(text.to_owned()))
    }

    fn print(&self) -> String {
        HIDDEN.into()
    }
}

/// What a listening process makes of TLS.
#[derive(Debug, Clone)]
#[doc(alias = "TlsSystemConfig")]
pub struct TlsServerSettings {
    /// `tls.server.mode`.
    pub mode: TlsMode,
    /// `tls.test.mode.enable`: a self-signed certificate even if another one is named.
    pub test_mode: bool,
    /// `tls.server.need.client.auth`.
    pub need_client_auth: ClientAuth,
    /// `tls.server.authClient`: whether clients' certificates are verified, where they are asked for.
    pub auth_client: bool,
    /// `tls.server.keyPath`.
    pub key_path: Option<PathBuf>,
    /// `tls.server.keyPassword`.
    pub key_password: Option<Secret>,
    /// `tls.server.certPath`.
    pub cert_path: Option<PathBuf>,
    /// `tls.server.trustCertPath`.
    pub trust_cert_path: Option<PathBuf>,
}

/// What a process that connects makes of TLS.
#[derive(Debug, Clone)]
pub struct TlsClientSettings {
    /// `tls.test.mode.enable`: trust everyone.
    pub test_mode: bool,
    /// `tls.client.authServer`: whether the server's certificate is verified.
    pub auth_server: bool,
    /// `tls.client.serverName`: the name it has to be for, if not the host of the address.
    pub server_name: Option<String>,
    /// `tls.client.keyPath`.
    pub key_path: Option<PathBuf>,
    /// `tls.client.keyPassword`.
    pub key_password: Option<Secret>,
    /// `tls.client.certPath`.
    pub cert_path: Option<PathBuf>,
    /// `tls.client.trustCertPath`; the system's certificates unless set.
    pub trust_cert_path: Option<PathBuf>,
}

/// Writes the same function for several settings structs, which have the same fields.
macro_rules! server_settings {
    ($($name:ident),*) => { $(
        impl $name {
            /// What its listeners make of TLS: these settings, and above them those of `tls.config.file`.
            ///
            /// # Errors
            /// When that file cannot be read or has a value that is not allowed.
            pub fn tls_server(&self) -> Result<TlsServerSettings> {
                let wanted = self.tls_server_mode != TlsMode::Disabled;
                return with_file(self, &self.tls_config_file, wanted).map(|settings| of(&settings));

                fn of(settings: &$name) -> TlsServerSettings {
                    TlsServerSettings {
                        mode: settings.tls_server_mode,
                        test_mode: settings.tls_test_mode_enable,
                        need_client_auth: settings.tls_server_need_client_auth,
                        auth_client: settings.tls_server_auth_client,
                        key_path: settings.tls_server_key_path.clone(),
                        key_password: settings.tls_server_key_password.clone(),
                        cert_path: settings.tls_server_cert_path.clone(),
                        trust_cert_path: settings.tls_server_trust_cert_path.clone(),
                    }
                }
            }
        }
    )* };
}
server_settings!(BrokerConfig, NamesrvConfig);

macro_rules! client_settings {
    ($($name:ident: $enabled:expr),*) => { $(
        impl $name {
            /// How it connects with TLS: these settings, and above them those of `tls.config.file`. `None` if it
            /// connects without.
            ///
            /// # Errors
            /// When that file cannot be read or has a value that is not allowed.
            pub fn tls_client(&self) -> Result<Option<TlsClientSettings>> {
                let enabled: fn(&$name) -> bool = $enabled;
                // The file may switch it on, or off, too.
                let settings = with_file(self, &self.tls_config_file, enabled(self))?;
                if !enabled(&settings) {
                    return Ok(None);
                }
                Ok(Some(TlsClientSettings {
                    test_mode: settings.tls_test_mode_enable,
                    auth_server: settings.tls_client_auth_server,
                    server_name: settings.tls_client_server_name,
                    key_path: settings.tls_client_key_path,
                    key_password: settings.tls_client_key_password,
                    cert_path: settings.tls_client_cert_path,
                    trust_cert_path: settings.tls_client_trust_cert_path,
                }))
            }
        }
    )* };
}
client_settings!(
    ClientOptions: |options| options.tls_enable || options.use_tls,
    // As Apache's: a broker that takes nothing but TLS expects its name servers to do so too.
    BrokerConfig: |config| config.tls_enable.unwrap_or(config.tls_server_mode == TlsMode::Enforcing)
);

impl NamesrvConfig {
    /// Makes TLS of this name server what it is of a broker in the same process.
    pub(crate) fn share_tls_of(&mut self, broker: &BrokerConfig) {
        self.tls_server_mode = broker.tls_server_mode;
        self.tls_test_mode_enable = broker.tls_test_mode_enable;
        self.tls_config_file.clone_from(&broker.tls_config_file);
        self.tls_server_need_client_auth = broker.tls_server_need_client_auth;
        self.tls_server_auth_client = broker.tls_server_auth_client;
        self.tls_server_key_path.clone_from(&broker.tls_server_key_path);
        self.tls_server_key_password.clone_from(&broker.tls_server_key_password);
        self.tls_server_cert_path.clone_from(&broker.tls_server_cert_path);
        self.tls_server_trust_cert_path.clone_from(&broker.tls_server_trust_cert_path);
    }
}

/// The settings with those of the TLS file put above them. Servers and clients share such a file: what the other side
/// needs is passed over. `wanted` says whether there would be TLS without the file.
fn with_file<S: Settings>(settings: &S, path: &Path, wanted: bool) -> Result<S> {
    let mut settings = settings.clone();
    let nobody_named_it = path == Path::new(TLS_FILE);
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        // Only who names a file expects it to be there, and it may be another program's alone.
        Err(_) if nobody_named_it && !path.exists() => return Ok(settings),
        Err(error) if nobody_named_it && !wanted => {
            tracing::warn!("without TLS, whatever {} says: {error}", path.display());
            return Ok(settings);
        }
        Err(error) => return Err(error),
    };
    let name = path.display().to_string();
    for entry in properties::parse(&String::from_utf8_lossy(&bytes), &name)? {
        match settings.assign(&entry.key, &entry.value) {
            Some(false) => {
                let (line, key, value) = (entry.line, &entry.key, &entry.value);
                let row = S::keys().iter().find(|row| row.name == *key);
                let allowed = row.map(super::Key::allowed_text).unwrap_or_default();
                let context =
                    format!("{name} line {line}: {key} = {value:?} is not allowed; allowed is {allowed}");
                return Err(Error::new(ErrorKind::InvalidArgument, "read settings", context));
            }
            Some(true) => {}
            None if KNOWN.contains(&entry.key.as_str()) => {}
            None => tracing::warn!("{name} line {}: {:?} is not a known key of TLS", entry.line, entry.key),
        }
    }
    Ok(settings)
}

/// Keys that one side obeys and the other passes over.
const KNOWN: &[&str] = &[
    "tls.enable",
    "useTLS",
    "tls.server.mode",
    "tls.server.need.client.auth",
    "tls.server.keyPath",
    "tls.server.keyPassword",
    "tls.server.certPath",
    "tls.server.authClient",
    "tls.server.trustCertPath",
    "tls.client.keyPath",
    "tls.client.keyPassword",
    "tls.client.certPath",
    "tls.client.authServer",
    "tls.client.trustCertPath",
    "tls.client.serverName",
];

/// What tells a changed file from the same one: when its content was changed, its length, which file it is, and when any of
/// its attributes was changed, such as who may read it. `None` if there is none.
pub type Stamp = Option<(SystemTime, u64, u64, (i64, i64))>;

/// The stamp of a file; links are followed.
pub fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok()?;
    let attributes = (metadata.ctime(), metadata.ctime_nsec());
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino(), attributes))
}

/// Reads a file with certificates, a key, or settings of TLS.
///
/// # Errors
/// [`ErrorKind::Io`] or [`ErrorKind::LimitExceeded`] naming the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let fail = |error| Error::io("read TLS file", path.display().to_string(), error);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        let context = format!("{} is larger than {MAX_FILE} bytes", path.display());
        return Err(Error::new(ErrorKind::LimitExceeded, "read TLS file", context));
    }
    Ok(bytes)
}

/// Writes a file that is not there yet; with `private` nobody but its owner may read it.
///
/// # Errors
/// [`ErrorKind::Io`] naming the file.
pub fn write_new(path: &Path, bytes: &[u8], private: bool) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let fail = |error| Error::io("write TLS file", path.display().to_string(), error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(fail)?;
    }
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = PathBuf::from(tmp);
    let mode = if private { 0o600 } else { 0o644 };
    let write = || -> std::io::Result<()> {
        // A mode counts only for a file that is made: one that a crash left behind may be open to all.
        match fs::remove_file(&tmp) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&tmp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&tmp, path)
    };
    write().map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(text: &str) -> BrokerConfig {
        BrokerConfig::from_text(text, "broker.conf").unwrap()
    }

    #[test]
    fn apaches_file_stands_above_the_settings() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tls.properties");
        let text = "tls.server.certPath=/s/server.pem\ntls.server.keyPassword=1234\ntls.client.trustCertPath=/s/ca.pem\n\
                    tls.test.mode.enable=false\ntls.server.need.client.auth=REQUIRE\n";
        fs::write(&file, text).unwrap();
        let named = format!("tls.config.file={}\n", file.display());
        let config = broker(&format!("{named}tls.server.certPath=/other\ntls.server.keyPath=/k"));
        let server = config.tls_server().unwrap();
        assert_eq!(server.cert_path.unwrap(), Path::new("/s/server.pem"));
        assert_eq!(server.key_path.unwrap(), Path::new("/k"));
        assert_eq!((server.mode, server.need_client_auth), (TlsMode::Permissive, ClientAuth::Require));
        assert_eq!(server.key_password.unwrap().reveal(), "1234");
        assert!(config.tls_client().unwrap().is_none());

        let mut client = ClientOptions::default();
        client.set("tls.config.file", &file.display().to_string()).unwrap();
        client.set("useTLS", "true").unwrap();
        let client = client.tls_client().unwrap().unwrap();
        assert!(client.auth_server, "ours verify unless told not to");
        assert_eq!(client.trust_cert_path.unwrap(), Path::new("/s/ca.pem"));
    }

    #[test]
    fn the_file_alone_switches_it_on_and_off() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tls.properties");
        let named = format!("tls.config.file={}\n", file.display());
        let client = |more: &[(&str, &str)]| {
            let mut client = ClientOptions::default();
            client.set("tls.config.file", &file.display().to_string()).unwrap();
            more.iter().for_each(|(key, value)| client.set(key, value).unwrap());
            client.tls_client().unwrap()
        };
        for key in ["tls.enable", "useTLS"] {
            fs::write(&file, format!("{key}=true\n")).unwrap();
            assert!(client(&[]).is_some(), "{key}");
        }
        fs::write(&file, "tls.enable=true\n").unwrap();
        assert!(broker(&named).tls_client().unwrap().is_some());
        fs::write(&file, "tls.enable=false\n").unwrap();
        assert!(client(&[("tls.enable", "true")]).is_none());
        fs::write(&file, "tls.server.mode=enforcing\n").unwrap();
        let config = broker(&format!("{named}tls.server.mode=disabled"));
        assert_eq!(config.tls_server().unwrap().mode, TlsMode::Enforcing);
        assert!(config.tls_client().unwrap().is_some(), "its name servers enforce it too");
        let mut namesrv = NamesrvConfig { tls_server_mode: TlsMode::Disabled, ..NamesrvConfig::default() };
        namesrv.tls_config_file.clone_from(&file);
        assert_eq!(namesrv.tls_server().unwrap().mode, TlsMode::Enforcing);
        assert!(client(&[]).is_none());
    }

    #[test]
    fn a_bad_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tls.properties");
        let config = broker(&format!("tls.config.file={}", file.display()));
        let missing = config.tls_server().unwrap_err().to_string();
        assert!(missing.contains("tls.properties"), "{missing}");
        fs::write(&file, "\ntls.server.need.client.auth=always").unwrap();
        let bad = config.tls_server().unwrap_err().to_string();
        assert!(bad.contains("tls.properties line 2") && bad.contains("none, optional or require"), "{bad}");
    }

    #[test]
    fn a_broker_that_enforces_registers_with_tls_unless_told_otherwise() {
        assert!(broker("tls.server.mode=enforcing").tls_client().unwrap().is_some());
        assert!(broker("tls.server.mode=enforcing\ntls.enable=false").tls_client().unwrap().is_none());
        assert!(broker("tls.enable=true").tls_client().unwrap().is_some());
    }

    #[test]
    fn passwords_are_not_shown() {
        let config = broker("tls.server.keyPassword=hunter2");
        assert!(!config.to_properties_text().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
        let shown = ("tls.server.keyPassword".to_owned(), config.get("tls.server.keyPassword").unwrap());
        config.updated(&[shown]).unwrap_err();
        // Nor can they be changed by who cannot see them; all that can be seen can be written back but them.
        for other in ["hunter3", "hunter2", ""] {
            let change = ("tls.server.keyPassword".to_owned(), other.to_owned());
            config.updated(&[change]).unwrap_err();
        }
        let none = ("tls.client.keyPassword".to_owned(), String::new());
        config.updated(&[none]).unwrap();
    }

    #[test]
    fn a_private_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/key");
        write_new(&path, b"x", true).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        // Whatever a write that was cut short has left.
        for left in ["other.tmp", "other.key.tmp", "other.crt.tmp"] {
            let left = dir.path().join(left);
            fs::write(&left, "half").unwrap();
            fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let other = dir.path().join("other.key");
        write_new(&other, b"x", true).unwrap();
        assert_eq!(mode(&other), 0o600);
        let before = stamp(&path);
        assert!(before.is_some() && before == stamp(&path));
        fs::write(&path, "xy").unwrap();
        assert!(before != stamp(&path));
        assert!(stamp(&dir.path().join("none")).is_none());
    }
}
