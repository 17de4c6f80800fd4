//! Certificates for tests, made on the spot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq::config::{ClientAuth, TlsClientSettings, TlsMode, TlsServerSettings};
use ferromq::net::{TlsClient, TlsServer};
use rcgen::{
    date_time_ymd, BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair,
};
use tempfile::TempDir;

/// A CA, and a directory of what it signed.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub dir: TempDir,
}

/// What a certificate is like.
pub struct Like {
    pub names: Vec<String>,
    pub years: (i32, i32),
    pub purpose: ExtendedKeyUsagePurpose,
}

impl Default for Like {
    fn default() -> Like {
        Like {
            names: vec!["127.0.0.1".into(), "localhost".into()],
            years: (2020, 2200),
            purpose: ExtendedKeyUsagePurpose::ServerAuth,
        }
    }
}

impl Like {
    pub fn client() -> Like {
        Like {
            names: vec!["a client".into()],
            purpose: ExtendedKeyUsagePurpose::ClientAuth,
            ..Like::default()
        }
    }

    fn params(self) -> CertificateParams {
        let names = self.names.iter().filter(|name| !name.contains(' ')).cloned().collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, self.names.concat());
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        params.extended_key_usages = vec![self.purpose];
        params
    }
}

/// Paths of a certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Ca {
    pub fn new(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Ca { issuer, dir }
    }

    /// The CA's own certificate.
    pub fn cert(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate signed by it.
    pub fn signs(&self, name: &str, like: Like) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = like.params().signed_by(&key, &self.issuer).unwrap();
        write(self.dir.path(), name, &certificate.pem(), &key.serialize_pem())
    }
}

/// A certificate that signed itself, as `openssl req -x509` makes it: it counts as a CA's.
pub fn self_signed(dir: &Path, like: Like) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = like.params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = Vec::new();
    write(dir, "self", &params.self_signed(&key).unwrap().pem(), &key.serialize_pem())
}

pub fn write(dir: &Path, name: &str, cert: &str, key: &str) -> Pair {
    let pair = Pair { cert: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    // As those who replace certificates do it, so that nobody sees half a file.
    for (path, text) in [(&pair.key, key), (&pair.cert, cert)] {
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, path).unwrap();
    }
    pair
}

pub fn server_settings(pair: Option<&Pair>) -> TlsServerSettings {
    TlsServerSettings {
        mode: TlsMode::Permissive,
        test_mode: false,
        need_client_auth: ClientAuth::None,
        auth_client: true,
        key_path: pair.map(|pair| pair.key.clone()),
        key_password: None,
        cert_path: pair.map(|pair| pair.cert.clone()),
        trust_cert_path: None,
    }
}

pub fn client_settings(trusted: Option<&Path>) -> TlsClientSettings {
    TlsClientSettings {
        test_mode: false,
        auth_server: true,
        server_name: None,
        key_path: None,
        key_password: None,
        cert_path: None,
        trust_cert_path: trusted.map(Path::to_owned),
    }
}

/// TLS of a server that was given a certificate.
pub fn server_tls(settings: TlsServerSettings) -> Option<Arc<TlsServer>> {
    TlsServer::new(settings, "/nonexistent".into(), vec!["127.0.0.1".into()]).unwrap()
}

pub fn client_tls(settings: TlsClientSettings) -> Option<Arc<TlsClient>> {
    Some(TlsClient::new(settings).unwrap())
}
