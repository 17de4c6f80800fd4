use super::*;
use crate::net::tls::material::provider;
use crate::net::tls::verify::AnyServer;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn both_ends() -> (rustls::ServerConnection, rustls::ClientConnection) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let server = rustls::ServerConfig::builder_with_provider(provider());
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate], key.into()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider());
    let client = client.with_safe_default_protocol_versions().unwrap().dangerous();
    let client = client.with_custom_certificate_verifier(Arc::new(AnyServer)).with_no_client_auth();
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    while server.is_handshaking() || client.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets().unwrap();
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    (server, client)
}

#[test]
fn what_had_to_wait_leaves_no_buffer_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut near, _) = listener.accept().await.unwrap();
        let (server, mut client) = both_ends();
        let mut session = Session::new(Box::new(server.into()), Side::Server, Vec::with_capacity(4096));
        assert_eq!(session.kept.capacity(), 0);

        let sent = vec![7; 40_000];
        let (mut encrypted, mut written) = (Vec::new(), 0);
        while written < sent.len() {
            written += client.writer().write(&sent[written..]).unwrap();
            while client.wants_write() {
                client.write_tls(&mut encrypted).unwrap();
            }
        }
        far.write_all(&encrypted).await.unwrap();
        let (mut received, mut waited) = (Vec::new(), false);
        while received.len() < sent.len() {
            let mut small = [0; 1000];
            let mut out = ReadBuf::new(&mut small);
            std::future::poll_fn(|cx| session.poll_read(&mut near, cx, &mut out)).await.unwrap();
            received.extend_from_slice(out.filled());
            waited |= !session.kept.is_empty();
        }
        assert!(received == sent && waited, "some of it had to wait");
        assert_eq!(session.kept.capacity(), 0);
        drop(near);
        assert_eq!(far.read(&mut [0; 10]).await.unwrap_or(0), 0);
    });
}
