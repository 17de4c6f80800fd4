//! From certificates and keys in PEM to what rustls works with.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

use super::self_made::{self, SelfMade};
use super::verify::{AnyClient, AnyServer, TrustedServer};
use crate::config::tls::read;
use crate::config::{ClientAuth, Secret, TlsClientSettings, TlsServerSettings};
use crate::{Error, ErrorKind, Result};

/// What encrypts. Not installed for the whole process: that is the program's to decide.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

/// What the ports of a server show and ask for. `home` and `names` are for a certificate of its own making.
pub(super) fn server(settings: &TlsServerSettings, home: &Path, names: &[String]) -> Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = versions(builder)?;
    let builder = match (settings.need_client_auth, settings.auth_client, &settings.trust_cert_path) {
        (ClientAuth::None, ..) => builder.with_no_client_auth(),
        (need, false, _) => {
            builder.with_client_cert_verifier(Arc::new(AnyClient { required: need == ClientAuth::Require }))
        }
        (need, true, Some(path)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots(path)?.into(), provider());
            let verifier = match need {
                ClientAuth::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier =
                verifier.build().map_err(|error| unusable(path, "holds no CA of clients", error))?;
            builder.with_client_cert_verifier(verifier)
        }
        (_, true, None) => {
            return Err(missing("tls.server.trustCertPath", "the CAs whose clients are trusted"))
        }
    };
    let (shown, chain, key) = match own(settings)? {
        Some((certificate, key)) => {
            (certificate, chain(certificate)?, private_key(key, settings.key_password.as_ref(), SERVER)?)
        }
        None => {
            let SelfMade { certificate, key } = self_made::load_or_make(home, names)?;
            let [certificate_path, key_path] = self_made::paths(home);
            let chain = chain_of(&certificate, &certificate_path)?;
            let key = key_of(&key, &key_path, None, SERVER)?;
            return builder.with_single_cert(chain, key).map_err(|error| {
                unusable(&certificate_path, "is no good; remove it, and a new one is made", error)
            });
        }
    };
    builder.with_single_cert(chain, key).map_err(|error| mismatch(shown, error))
}

/// The certificate and key that a server was given.
pub(super) fn own(settings: &TlsServerSettings) -> Result<Option<(&Path, &Path)>> {
    match (&settings.cert_path, &settings.key_path) {
        _ if settings.test_mode => Ok(None),
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (Some(_), None) => Err(missing("tls.server.keyPath", "the key of tls.server.certPath")),
        (None, Some(_)) => Err(missing("tls.server.certPath", "the certificate of tls.server.keyPath")),
    }
}

/// What clients trust and show.
pub(super) fn client(settings: &TlsClientSettings) -> Result<ClientConfig> {
    let builder = versions(ClientConfig::builder_with_provider(provider()))?.dangerous();
    let builder = if settings.test_mode || !settings.auth_server {
        builder.with_custom_certificate_verifier(Arc::new(AnyServer))
    } else {
        let verifier = match &settings.trust_cert_path {
            Some(path) => TrustedServer::new(roots(path)?, chain(path)?),
            None => TrustedServer::new(system_roots()?, Vec::new()),
        };
        let verifier = verifier.map_err(|error| {
            let context = "no CA to trust; name one by tls.client.trustCertPath";
            Error::new(ErrorKind::InvalidArgument, "use TLS", context).with_source(error)
        })?;
        builder.with_custom_certificate_verifier(Arc::new(verifier))
    };
    match (&settings.cert_path, &settings.key_path) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let key = private_key(key, settings.key_password.as_ref(), CLIENT)?;
            let chain = chain(certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| mismatch(certificate, error))
        }
        (Some(_), None) => Err(missing("tls.client.keyPath", "the key of tls.client.certPath")),
        (None, Some(_)) => Err(missing("tls.client.certPath", "the certificate of tls.client.keyPath")),
    }
}

const SERVER: &str = "tls.server.keyPassword";
const CLIENT: &str = "tls.client.keyPassword";

fn versions<S: rustls::ConfigSide>(
    builder: ConfigBuilder<S, rustls::WantsVersions>,
) -> Result<ConfigBuilder<S, WantsVerifier>> {
    builder.with_safe_default_protocol_versions().map_err(|error| {
        Error::new(ErrorKind::Internal, "use TLS", "no cipher suite fits TLS 1.2 or 1.3").with_source(error)
    })
}

/// The certificates that the system trusts.
fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        let context = format!(
            "the system has no certificates of CAs{why}; name those that sign for your servers by tls.client.trustCertPath"
        );
        return Err(Error::new(ErrorKind::NotFound, "use TLS", context));
    }
    Ok(roots)
}

fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(path, "has a certificate that cannot be trusted", error))?;
    }
    Ok(roots)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    chain_of(&read(path)?, path)
}

fn chain_of(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| unusable(path, "is not PEM", error))?;
    if found.is_empty() {
        let context = format!(
            "{} has no certificate; it takes PEM, which begins with -----BEGIN CERTIFICATE-----",
            path.display()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, "use TLS", context));
    }
    Ok(found)
}

fn private_key(path: &Path, password: Option<&Secret>, password_key: &str) -> Result<PrivateKeyDer<'static>> {
    key_of(&read(path)?, path, password, password_key)
}

fn key_of(
    pem: &[u8],
    path: &Path,
    password: Option<&Secret>,
    password_key: &str,
) -> Result<PrivateKeyDer<'static>> {
    let refuse = |what: String| {
        Error::new(ErrorKind::InvalidArgument, "use TLS", format!("{} {what}", path.display()))
    };
    let text = String::from_utf8_lossy(pem);
    if let Some(encrypted) = encrypted_part(&text) {
        let Some(password) = password.filter(|password| !password.reveal().is_empty()) else {
            return Err(refuse(format!("is an encrypted key; set {password_key}")));
        };
        return decrypt(encrypted, password).map_err(refuse);
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(refuse(format!(
            "is a key encrypted the old way of OpenSSL, which is not supported; {RECODE}"
        )));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        refuse("has no private key; it takes PEM (PKCS#8, PKCS#1 or SEC1)".into()).with_source(error)
    })
}

const RECODE: &str =
    "encode it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD.key -out NEW.key";

/// The first encrypted key, from its first line to its last.
fn encrypted_part(text: &str) -> Option<&str> {
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let start = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----")?;
    let length = text[start..].find(END)? + END.len();
    Some(&text[start..start + length])
}

fn decrypt(pem: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let (_, encrypted) = SecretDocument::from_pem(pem)
        .map_err(|error| format!("is an encrypted key that cannot be read: {error}"))?;
    let info = EncryptedPrivateKeyInfo::try_from(encrypted.as_bytes()).map_err(|_| {
        format!("is a key encrypted in a way that is not supported (only PBES2 is); {RECODE}")
    })?;
    use pkcs8::pkcs5::Error as Pbe;
    let key = info.decrypt(password.reveal()).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            Pbe::AlgorithmParametersInvalid { .. }
            | Pbe::NoPbes1CryptSupport
            | Pbe::UnsupportedAlgorithm { .. },
        ) => format!("is a key encrypted in a way that is not supported ({error}); {RECODE}"),
        // With another password there is no padding, or no key, in what comes out.
        _ => "is an encrypted key, and the password is wrong".to_owned(),
    })?;
    // Whether it is one is checked where it is used.
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

fn missing(key: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, "use TLS", format!("{key} is not set: it has to name {what}"))
}

fn unusable(path: &Path, what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let context = format!("{} {what}", path.display());
    Error::new(ErrorKind::InvalidArgument, "use TLS", context).with_source(error)
}

fn mismatch(certificate: &Path, error: rustls::Error) -> Error {
    let what = match error {
        rustls::Error::InconsistentKeys(_) => "does not belong to its key: they are not of one pair",
        _ => "or its key is not usable",
    };
    unusable(certificate, what, error)
}

#[cfg(test)]
#[path = "material_tests.rs"]
mod tests;
