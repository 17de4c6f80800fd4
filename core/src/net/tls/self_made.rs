//! The certificate of a server that was given none.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

use crate::config::tls as files;
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// Certificate and key as they stand in their files, PEM.
pub(super) struct SelfMade {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

/// Where they are kept, in this directory.
pub(super) fn paths(home: &Path) -> [PathBuf; 2] {
    [home.join("tls-self-signed.crt"), home.join("tls-self-signed.key")]
}

/// The self-signed certificate of the server that keeps its files in `home` and is known by these names. Made the first time;
/// a directory that cannot be written to gives one that lasts as long as the process.
pub(super) fn load_or_make(home: &Path, names: &[String]) -> Result<SelfMade> {
    // Name server and broker of one process share one.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    let [certificate, key] = paths(home);
    if certificate.exists() && key.exists() {
        return Ok(SelfMade { certificate: files::read(&certificate)?, key: files::read(&key)? });
    }
    let made = make(names).map_err(|error| {
        Error::new(ErrorKind::Internal, "use TLS", "a self-signed certificate could not be made")
            .with_source(error)
    })?;
    // The key first: a certificate without its key would be in the way the next time.
    let kept = files::write_new(&key, &made.key, true)
        .and_then(|()| files::write_new(&certificate, &made.certificate, false));
    let advice = "Clients have to be given it as tls.client.trustCertPath; tls.server.certPath and tls.server.keyPath name a \
                  real one";
    match kept {
        Ok(()) => tracing::warn!(
            "TLS without a certificate: a self-signed one was made, {}. {advice}",
            certificate.display()
        ),
        Err(error) => tracing::warn!(
            "TLS without a certificate: a self-signed one was made for as long as this process runs ({error}). {advice}"
        ),
    }
    Ok(made)
}

fn make(names: &[String]) -> Result<SelfMade, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "FerroMQ, self-signed");
    for name in names {
        let name = match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => match name.as_str().try_into() {
                Ok(name) => SanType::DnsName(name),
                // Host names need not be what certificates can hold.
                Err(_) => continue,
            },
        };
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2070, 1, 1);
    let certificate = params.self_signed(&key)?;
    Ok(SelfMade { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("config");
        let names =
            ["127.0.0.1".to_owned(), "here.example".into(), "no name at all".into(), "127.0.0.1".into()];
        let first = load_or_make(&home, &names).unwrap();
        let second = load_or_make(&home, &names).unwrap();
        assert!(first.certificate == second.certificate && first.key == second.key);
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 2);
    }

    #[test]
    fn without_a_place_it_is_made_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let made = load_or_make(&dir.path().join("file/config"), &["localhost".into()]).unwrap();
        assert!(made.certificate.starts_with(b"-----BEGIN CERTIFICATE"));
    }
}
