//! What a certificate authority may send, mutated.

use outside_test_support::checks::authority;
use rcgen::{CertificateParams, KeyPair};

use crate::mutation::each_mutation;

fn answers() -> Vec<Vec<u8>> {
    let directory = r#"{"newNonce":"https://ca/n","newAccount":"https://ca/a","newOrder":"https://ca/o","meta":{}}"#;
    let problem = r#"{"type":"urn:ietf:params:acme:error:badNonce","detail":"no","status":400}"#;
    let state = r#"{"failures":1,"last":2,"advice":{"start":1,"end":3,"chosen":2,"ask_again":4},"names":["a"]}"#;
    [
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nReplay-Nonce: x\r\n\r\n{directory}", directory.len()),
        format!("HTTP/1.1 400 Bad Request\r\nRetry-After: 120\r\nContent-Length: {}\r\n\r\n{problem}", problem.len()),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}\r\n\r\n0\r\n\r\n"
            .to_owned(),
        format!("HTTP/1.1 503 Be back\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n{state}"),
        state.to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate().expect("a key");
    let names = vec!["a.example".to_owned(), "127.0.0.1".to_owned()];
    let certificate =
        CertificateParams::new(names).and_then(|parameters| parameters.self_signed(&key)).expect("a certificate");
    (certificate.der().to_vec(), format!("{}{}", key.serialize_pem(), certificate.pem()).into_bytes())
}

#[test]
fn mutated_answers_of_an_authority() {
    answers().iter().for_each(|seed| authority::answer(seed));
    each_mutation(20_000, &answers(), |_, input| authority::answer(input));
}

#[test]
fn mutated_certificates() {
    let (der, pem) = certificate();
    authority::certificate(&der);
    authority::pem(&pem);
    each_mutation(20_000, &[der], |_, input| authority::certificate(input));
    each_mutation(2000, &[pem], |_, input| authority::pem(input));
}
