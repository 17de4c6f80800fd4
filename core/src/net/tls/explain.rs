//! What went wrong with TLS, in words that name the way out.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Which end of a connection speaks.
#[derive(Debug, Clone)]
pub(super) enum Side {
    /// A client that connects to this host.
    Client(String),
    Server,
}

/// The error of a session as an I/O error whose text stands for itself.
pub(super) fn refused(side: &Side, error: &Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words(side, error))
}

pub(super) fn words(side: &Side, error: &Error) -> String {
    match (side, error) {
        (Side::Client(host), Error::InvalidCertificate(why)) => {
            format!("TLS: the certificate of {host} is refused: {}", of_server(why))
        }
        (Side::Server, Error::InvalidCertificate(why)) => {
            format!("TLS: the client's certificate is refused: {}", of_client(why))
        }
        (Side::Server, Error::NoCertificatesPresented) => {
            "TLS: the client has no certificate, which tls.server.need.client.auth=require asks for; it has to set \
             tls.client.certPath and tls.client.keyPath"
                .into()
        }
        (Side::Client(host), Error::AlertReceived(alert)) => {
            format!("TLS: {host} refuses ({alert:?}){}", from_server(*alert))
        }
        (Side::Server, Error::AlertReceived(alert)) => {
            format!("TLS: the client refuses ({alert:?}){}", from_client(*alert))
        }
        (Side::Client(host), Error::InvalidMessage(_)) => {
            format!("TLS: {host} does not speak TLS on this port; connect without (tls.enable=false) if plain text will do")
        }
        (_, Error::PeerIncompatible(why)) => format!("TLS: nothing in common with the peer: {}", incompatible(why)),
        (_, error) => format!("TLS: {error}"),
    }
}

/// The peer closed before the handshake was over.
pub(super) fn broken_off(side: &Side) -> io::Error {
    let why = match side {
        Side::Client(host) => format!(
            "TLS: {host} closed the connection during the handshake; perhaps it takes plain text only \
             (tls.server.mode=disabled there, or a proxy between): connect without (tls.enable=false) if that will do"
        ),
        Side::Server => "TLS: the client closed the connection during the handshake".into(),
    };
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}

fn of_server(why: &CertificateError) -> String {
    use CertificateError as Bad;
    match why {
        Bad::UnknownIssuer => {
            "nobody who is trusted here has signed it (unknown CA); put the certificate of its CA, or its \
                               own if it is self-signed, into the file that tls.client.trustCertPath names"
                .into()
        }
        Bad::NotValidForName => {
            "it is for other names; connect by one of them, or set tls.client.serverName".into()
        }
        Bad::NotValidForNameContext { expected, presented } => format!(
            "it is for {}, not for {}; connect by a name that it is for, or set tls.client.serverName",
            if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") },
            expected.to_str()
        ),
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "it is not meant for servers (extended key usage serverAuth)".into()
        }
        other => common(other),
    }
}

fn of_client(why: &CertificateError) -> String {
    use CertificateError as Bad;
    match why {
        Bad::UnknownIssuer => {
            "nobody in the file that tls.server.trustCertPath names has signed it (unknown CA)".into()
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "it is not meant for clients (extended key usage clientAuth)".into()
        }
        other => common(other),
    }
}

fn common(why: &CertificateError) -> String {
    use CertificateError as Bad;
    match why {
        Bad::Expired => "it has expired; renew it, or set the clock of this machine".into(),
        Bad::ExpiredContext { time, not_after } => {
            format!("it has expired {} ago; renew it, or set the clock of this machine", between(*not_after, *time))
        }
        Bad::NotValidYet => "it is not valid yet; is the clock of this machine right?".into(),
        Bad::NotValidYetContext { time, not_before } => {
            let wait = between(*time, *not_before);
            format!("it is not valid before {wait} have passed; is the clock of this machine right?")
        }
        Bad::BadEncoding => "it cannot be read".into(),
        Bad::BadSignature => "a CA with the name of a trusted one, and another key, has signed it (unknown CA; was it made \
                              anew?)"
            .into(),
        Bad::Revoked => "it was revoked".into(),
        Bad::Other(other) if is_ca(why) => format!(
            "it is the certificate of a CA, which is not for use by servers or clients themselves ({other}); make it with \
             basicConstraints=CA:FALSE"
        ),
        other => other.to_string(),
    }
}

/// Whether a certificate was refused because it is a CA's.
pub(super) fn is_ca(why: &CertificateError) -> bool {
    let CertificateError::Other(other) = why else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

fn between(from: UnixTime, to: UnixTime) -> String {
    match to.as_secs().saturating_sub(from.as_secs()) {
        seconds @ 0..=7_199 => format!("{seconds} s"),
        seconds @ 7_200..=172_799 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn from_server(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => {
            ": it asks clients for a certificate; set tls.client.certPath and tls.client.keyPath"
        }
        Alert::UnknownCA | Alert::DecryptError => {
            ": it does not trust the certificate of tls.client.certPath; its CA must stand in the server's \
             tls.server.trustCertPath"
        }
        Alert::CertificateExpired => ": the certificate of tls.client.certPath has expired, or the server's clock is wrong",
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate => {
            ": it takes no certificate, or not the one of tls.client.certPath; the server's log says why"
        }
        Alert::HandshakeFailure => {
            ": nothing in common, or it asks clients for a certificate (tls.client.certPath); the server's log says why"
        }
        Alert::ProtocolVersion => ": it wants a version other than TLS 1.2 and 1.3",
        _ => "",
    }
}

fn from_client(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown => {
            ": it does not trust this server's certificate; its tls.client.trustCertPath has to name the CA's certificate, or \
             this one if it is self-signed, and the name that it connects to must stand in the certificate"
        }
        Alert::CertificateExpired => ": this server's certificate has expired, or the client's clock is wrong",
        _ => "",
    }
}

fn incompatible(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::Tls12NotOfferedOrEnabled | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "it speaks neither TLS 1.2 nor 1.3".into()
        }
        other => format!("{other:?}"),
    }
}
