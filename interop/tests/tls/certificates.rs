//! Certificates for both sides, made on the spot.

use ferromq_interop::Outcome;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use std::path::{Path, PathBuf};

/// A CA, with a certificate for servers of this machine and one for clients.
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes all of them in this directory.
    pub fn make(dir: &Path) -> Outcome<Certificates> {
        let made = Certificates { dir: dir.to_owned() };
        made.write().map_err(|error| format!("cannot make certificates in {}: {error}", dir.display()))?;
        Ok(made)
    }

    fn write(&self) -> Result<(), Box<dyn std::error::Error>> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "interop CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        std::fs::write(self.dir.join("ca.pem"), ca.pem())?;
        let kinds = [
            (
                "server",
                vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            ("client", Vec::new(), ExtendedKeyUsagePurpose::ClientAuth),
        ];
        for (name, names, purpose) in kinds {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![purpose];
            std::fs::write(self.dir.join(format!("{name}.pem")), params.signed_by(&key, &ca)?.pem())?;
            std::fs::write(self.dir.join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(())
    }

    /// The CA's certificate.
    pub fn ca(&self) -> String {
        self.path("ca.pem")
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Keys of a server that takes nothing but TLS, and of what it connects to others with.
    pub fn server(&self, client_auth: bool) -> Vec<(String, String)> {
        let mut keys = vec![
            ("tls.server.mode", "enforcing".to_owned()),
            ("tls.test.mode.enable", "false".to_owned()),
            ("tls.server.certPath", self.path("server.pem")),
            ("tls.server.keyPath", self.path("server.key")),
            ("tls.client.trustCertPath", self.ca()),
            ("tls.client.authServer", "true".to_owned()),
        ];
        if client_auth {
            keys.push(("tls.server.need.client.auth", "require".to_owned()));
            keys.push(("tls.server.authClient", "true".to_owned()));
            keys.push(("tls.server.trustCertPath", self.ca()));
        }
        owned(keys)
    }

    /// Keys of a client that verifies, and shows a certificate of its own.
    pub fn client(&self) -> Vec<(String, String)> {
        owned(vec![
            ("tls.enable", "true".to_owned()),
            ("tls.test.mode.enable", "false".to_owned()),
            ("tls.client.authServer", "true".to_owned()),
            ("tls.client.trustCertPath", self.ca()),
            ("tls.client.certPath", self.path("client.pem")),
            ("tls.client.keyPath", self.path("client.key")),
        ])
    }
}

fn owned(keys: Vec<(&str, String)>) -> Vec<(String, String)> {
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
