//! What a certificate authority may send, mutated.

use std::path::{Path, PathBuf};

use outside::certificates::testing as certificates;
use outside_test_support::checks::authority;
use rcgen::{CertificateParams, KeyPair};

use crate::mutation::each_mutation;

pub(crate) fn answers() -> Vec<Vec<u8>> {
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

pub(crate) fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate().expect("a key");
    let names = vec!["a.example".to_owned(), "127.0.0.1".to_owned()];
    let certificate =
        CertificateParams::new(names).and_then(|parameters| parameters.self_signed(&key)).expect("a certificate");
    (certificate.der().to_vec(), format!("{}{}", key.serialize_pem(), certificate.pem()).into_bytes())
}

/// The conversations of the corpus, by the names of their files.
pub(crate) fn conversations() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/authority");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let (_, pem) = certificate();
    let chain =
        String::from_utf8(pem).expect("PEM").split_once("-----END PRIVATE KEY-----\n").expect("a key").1.to_owned();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a conversation").replace("@CHAIN@", &chain);
        let answers: Vec<String> = text.split("\n=====\n").map(with_line_ends).collect();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, answers.join("\n=====\n").into_bytes())
    };
    paths.into_iter().map(read).collect()
}

/// The answer with the line ends of HTTP in its head.
fn with_line_ends(answer: &str) -> String {
    let (head, content) = answer.split_once("\n\n").expect("a head and an empty line");
    format!("{}\r\n\r\n{content}", head.replace('\n', "\r\n"))
}

/// The failures that follow from each conversation of the corpus: of the order, then of the question for advice.
const FAILURES: &[(&str, &[&str])] = &[
    (
        "invalid",
        &[
            "a.example could not be validated (http-01, port 80): the authority says: 127.0.0.1: Connection refused\\nby IPv4",
            "no more",
        ],
    ),
    ("issued", &["the authority's certificate is not taken"]),
    ("limited", &["too many certificates", "status 429 slow down"]),
    ("lost_account", &["who is it?", "no more answers"]),
    ("many_authorizations", &["wants 60 proofs for 2 names", "cannot be understood"]),
    ("no_location", &["", ""]),
    ("nonces", &["the authority's certificate is not taken"]),
    ("other_states", &["cannot be understood", "cannot be understood"]),
    ("refused", &["Some names are refused; for \"a.example\": CAA forbids it", "unknown certificate"]),
    ("repaired", &["status 503 <h1>Be back\\nsoon</h1>", "no account"]),
    ("reversed_advice", &["oops"]),
    ("strange_names", &["a proof for \"../certificates/a.example/certificate\", which was not ordered", ""]),
    ("strange_tokens", &["", ""]),
    ("strange_urls", &["without https", "no account"]),
    ("types", &["cannot be understood", "no account"]),
];

#[test]
fn conversations_of_the_corpus() {
    let known: Vec<&str> = FAILURES.iter().map(|(name, _)| *name).collect();
    let found = conversations();
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), known);
    let mut faults = Vec::new();
    for ((name, input), (_, expected)) in found.iter().zip(FAILURES) {
        authority::conversation(input);
        let folder = tempfile::tempdir().expect("a folder");
        let seen = certificates::conversation(folder.path(), &authority::pieces(input)).expect("a folder");
        let are_right = seen.failures.iter().zip(*expected).all(|(failure, part)| failure.contains(part));
        let is_issued = matches!(name.as_str(), "issued" | "nonces");
        if seen.failures.len() != expected.len() || !are_right || seen.has_certificate != is_issued {
            faults.push(format!("{name}: {:?}", seen.failures));
        }
        assert_eq!(seen.window.is_some(), is_issued, "{name}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn mutated_conversations() {
    let seeds: Vec<Vec<u8>> = conversations().into_iter().map(|(_, input)| input).collect();
    each_mutation(4000, &seeds, |_, input| authority::conversation(input));
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
