use super::*;

const PASSWORD: &str = "open sesame";

fn pair() -> (String, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key)
}

fn encrypted(key: &rcgen::KeyPair) -> String {
    let salt = [7; 16];
    let iv = [9; 16];
    let how = pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(1_000, &salt, &iv).unwrap();
    let der = key.serialize_der();
    let info = pkcs8::PrivateKeyInfo::try_from(&*der).unwrap();
    let encrypted = info.encrypt_with_params(how, PASSWORD).unwrap();
    encrypted.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap().to_string()
}

fn load(pem: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let password = password.map(Secret::new);
    key_of(pem.as_bytes(), Path::new("server.key"), password.as_ref(), SERVER)
        .map_err(|error| error.to_string())
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let (_, key) = pair();
    let pem = encrypted(&key);
    let loaded = load(&pem, Some(PASSWORD)).unwrap();
    assert_eq!(loaded.secret_der(), key.serialize_der());
    // Beside a certificate in one file too.
    let both = format!("{}{pem}", pair().0);
    assert_eq!(load(&both, Some(PASSWORD)).unwrap().secret_der(), key.serialize_der());

    let wrong = load(&pem, Some("wrong")).unwrap_err();
    assert!(wrong.contains("server.key") && wrong.contains("password is wrong"), "{wrong}");
    for none in [None, Some("")] {
        let none = load(&pem, none).unwrap_err();
        assert!(none.contains("encrypted") && none.contains("tls.server.keyPassword"), "{none}");
    }
    // A password that is not needed does not matter.
    load(&key.serialize_pem(), Some(PASSWORD)).unwrap();
}

#[test]
fn what_cannot_be_decrypted_says_how_to_encode_it_anew() {
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    // PBE-SHA1-3DES of PKCS#12, as `openssl pkcs8 -v1 PBE-SHA1-3DES` makes it.
    let pkcs12 = include_str!("../../../tests/fixtures/tls/pbe-sha1-3des.key");
    for pem in [old, pkcs12] {
        let text = load(pem, Some("1234")).unwrap_err();
        assert!(text.contains("not supported") && text.contains("openssl pkcs8 -topk8"), "{text}");
    }
    let torn = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(load(torn, Some("1234")).is_err());
}

#[test]
fn keys_that_openssl_encrypts_are_read() {
    for pem in [
        include_str!("../../../tests/fixtures/tls/pbes2-aes256.key"),
        include_str!("../../../tests/fixtures/tls/pbes2-3des.key"),
        include_str!("../../../tests/fixtures/tls/scrypt.key"),
    ] {
        load(pem, Some("1234")).unwrap();
    }
}

#[test]
fn bundles_of_many_certificates_are_read() {
    let bundle: String = (0..3).map(|_| pair().0).collect();
    assert_eq!(chain_of(bundle.as_bytes(), Path::new("ca.pem")).unwrap().len(), 3);
    let none = chain_of(b"hello", Path::new("ca.pem")).unwrap_err().to_string();
    assert!(none.contains("ca.pem") && none.contains("BEGIN CERTIFICATE"), "{none}");
}
