//! The engine beside hyper, over the corpus and over mutations of it.

use outside_test_support::checks::differential::compare;
use outside_test_support::corpus::all_cases;

use crate::mutation::each_mutation;
use crate::seeds::{seeds, sent};

#[test]
fn every_case_of_the_corpus() {
    let faults: Vec<String> = all_cases()
        .iter()
        .filter_map(|case| Some(format!("{} ({}): {}", case.title, case.place, compare(&sent(case)).err()?)))
        .collect();
    assert!(faults.is_empty(), "{} cases:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn mutated_conversations() {
    let (mut inputs, mut requests) = (0, 0);
    each_mutation(60_000, &seeds(2000).conversations, |_, input| {
        inputs += 1;
        requests += compare(input).unwrap_or_else(|fault| panic!("{fault}"));
    });
    assert!(requests > inputs / 5, "both have read only {requests} requests in {inputs} inputs");
}

#[test]
fn mutated_chunked_bodies() {
    each_mutation(30_000, &seeds(2000).chunked, |_, input| {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        compare(&[head, input].concat()).unwrap_or_else(|fault| panic!("{fault}"));
    });
}
