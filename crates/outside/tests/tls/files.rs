//! A fault of a certificate or key is reported in one sentence, before any address is bound.

use std::os::unix::fs::PermissionsExt as _;

use outside::Config;
use outside::config::{CertificateFiles, Value};
use outside::tls::{CertificateError, TicketKeys, Tls};
use rcgen::date_time_ymd;

use crate::certificates::Authority;

fn fault(files: &CertificateFiles) -> String {
    let error = Tls::new(vec![files.clone()], &TicketKeys::default()).expect_err("it was taken");
    let told = error.to_string();
    assert!(error.source_as::<CertificateError>().is_some(), "{told}");
    assert!(!told.contains('\n') && !told.ends_with('.'), "one sentence for a line of the log: {told}");
    told
}

#[test]
fn every_fault_has_its_sentence() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"], |_| ());
    let (other_certificate, other_key) = authority.issue(&["localhost"], |_| ());
    let (expired, expired_key) = authority.issue(&["localhost"], |parameters| {
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2021, 2, 3);
    });
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let both = format!("{other_certificate}{certificate}");
    let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let damaged = key.replacen('M', "!", 1);
    for (name, certificate, key, parts) in [
        ("key-of-another", &certificate, &other_key, &["key file", "does not match the first certificate in"][..]),
        ("wrong-order", &both, &key, &["key file", "does not match", "must come first"]),
        ("expired", &expired, &expired_key, &["certificate file", "has expired", "Wed, 03 Feb 2021 00:00:00 GMT"]),
        (
            "version-1",
            &VERSION_1.to_owned(),
            &VERSION_1_KEY.to_owned(),
            &["X.509 version 1", "subjectAltName", "outside cert"],
        ),
        ("half-certificate", &half(&certificate), &key, &["certificate file", "is not complete"]),
        ("half-key", &certificate, &half(&key), &["key file", "is not complete"]),
        ("half-chain", &format!("{certificate}{}", half(&other_certificate)), &key, &["is not complete"]),
        ("empty", &String::new(), &key, &["certificate file", "is empty"]),
        ("blank-key", &certificate, &"\n \n".to_owned(), &["key file", "is empty"]),
        ("swapped", &key, &certificate, &["certificate file", "holds no certificate"]),
        ("no-key", &certificate, &certificate, &["key file", "holds no private key"]),
        ("locked", &certificate, &locked, &["key file", "passphrase"]),
        ("damaged", &certificate, &damaged, &["key file", "is damaged"]),
        ("text", &"hello".to_owned(), &key, &["holds no certificate"]),
        ("der", &"0\u{3}\u{2}\u{1}".to_owned(), &key, &["is in DER, not in PEM"]),
        ("long", &"x".repeat(2 << 20), &key, &["is larger than 1 MiB"]),
    ] {
        let files = authority.write(name, certificate, key);
        let told = fault(&files);
        let named = format!("{name}.");
        for part in parts.iter().chain([&&named[..]]) {
            assert!(told.contains(part), "{name}: {part:?} is not in {told:?}");
        }
    }
}

/// As `openssl x509 -req` makes them without an extensions file.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBHDCBxAIUE6gkUT/48k5WOZqTJMp2LuIUiEQwCgYIKoZIzj0EAwIwDTELMAkG\n\
A1UEAwwCY2EwIBcNMjYxMTI4MjIxNjIxWhgPMjA4MTA4MzEyMjE2MjFaMBQxEjAQ\n\
BgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOXHoJjl\n\
4nnh3MRxEfi1sjS8yRqJd1zZObwvmK6Zq+O68bX8u+UnRoc5fCpiEkX3Es7NgxBa\n\
Yp40giXoxKNVSrUwCgYIKoZIzj0EAwIDRwAwRAIgSNh5EY2egHypMCp2kMVCBu/w\n\
YtGOmnw+AX5+CHJXjzACIGyFbFVQEVagZ5ZyhL7VS3NCqsmkUHPVBOX5CiM6tdmE\n\
-----END CERTIFICATE-----\n\
";
const VERSION_1_KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmXt+vCESdq2gk9Gy\n\
BiEXGzRUWNP8vgjxcktGAm6uW76hRANCAATlx6CY5eJ54dzEcRH4tbI0vMkaiXdc\n\
2Tm8L5iumavjuvG1/LvlJ0aHOXwqYhJF9xLOzYMQWmKeNIIl6MSjVUq1\n\
-----END PRIVATE KEY-----\n\
";

#[test]
fn files_that_cannot_be_read() {
    let authority = Authority::new();
    let mut files = authority.files("main", &["localhost"]);
    let key = std::mem::replace(&mut files.keyfile, authority.path("missing.key"));
    let told = fault(&files);
    assert!(told.contains("missing.key") && told.contains("No such file"), "{told}");
    files.keyfile = authority.folder.path().to_owned();
    assert!(fault(&files).contains("Is a directory"));
    files.keyfile = key;
    std::fs::set_permissions(&files.keyfile, std::fs::Permissions::from_mode(0o000)).unwrap();
    // A user that may read every file gets no refusal.
    if std::fs::File::open(&files.keyfile).is_err() {
        assert!(fault(&files).contains("Permission denied"));
    }
}

#[test]
fn chain_and_key_may_share_a_file() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"], |_| ());
    let all = format!("# all of it\n{key}{certificate}{}", authority.issuer.pem());
    let path = authority.write("all", &all, "").certfile;
    let mut config = Config { ssl_enabled: true, ssl_certfile: path, ..Config::default() };
    assert!(Tls::of(&config, &TicketKeys::default()).unwrap().is_some());
    config.ssl_enabled = false;
    assert!(Tls::of(&config, &TicketKeys::default()).unwrap().is_none());
}

#[test]
fn settings_without_a_certificate() {
    let config = Config { ssl_enabled: true, ..Config::default() };
    let told = Tls::of(&config, &TicketKeys::default()).expect_err("there is no certificate").to_string();
    assert!(told.contains("ssl_certfile") && told.contains("outside cert localhost"), "{told}");
}

#[test]
fn lists_of_certificates() {
    let text = |text: &str| Value::Owned(text.to_owned());
    let table = |fields: &[(&str, Value)]| {
        Value::Table(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let given = |value| Config::from_values([("ssl_certificates", value)]);
    let pair = table(&[("certfile", text("a.pem")), ("keyfile", text("a.key"))]);
    let alone = table(&[("certfile", text("b.pem"))]);
    let config = given(Value::List(vec![pair.clone(), alone])).unwrap();
    let files = |certfile: &str, keyfile: &str| CertificateFiles { certfile: certfile.into(), keyfile: keyfile.into() };
    assert_eq!(config.ssl_certificates, [files("a.pem", "a.key"), files("b.pem", "b.pem")]);
    for wrong in [
        pair.clone(),
        Value::List(vec![pair, text("a.pem")]),
        Value::List(vec![table(&[("keyfile", text("a.key"))])]),
        Value::List(vec![table(&[("certfile", text("a.pem")), ("keyfile", Value::Integer(3))])]),
        Value::List(vec![table(&[("certfile", text("a.pem")), ("key", text("a.key"))])]),
    ] {
        let told = given(wrong).unwrap_err().to_string();
        assert!(told.contains("ssl_certificates") && told.contains("'keyfile': path"), "{told}");
    }
}
