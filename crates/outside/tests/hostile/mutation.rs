//! More than 100,000 mutated inputs through every parser of network input: bounded, deterministic, with any compiler.

use std::path::Path;
use std::time::{Duration, Instant};

use outside_test_support::checks::{files, forms, forwarded, invariants, negotiation, routes};
use outside_test_support::mutator::{Numbers, mutate};

use crate::{authority, seeds};

/// Changed from time to time to find other faults; `OUTSIDE_SEED` sets another one.
const SEED: u64 = 0x6f75_7473_6964_6501;

#[test]
fn the_corpus_itself_keeps_the_invariants() {
    let seeds = seeds::seeds(100_000);
    assert!(seeds.conversations.len() > 250 && seeds.chunked.len() > 30 && seeds.targets.len() > 200);
    run_all(&seeds.conversations, invariants::conversation);
    run_all(&seeds.chunked, invariants::chunked);
    run_all(&seeds.targets, invariants::target);
    run_all(&seeds.cookies, invariants::cookies);
    run_all(&seeds.queries, forms::query);
    run_all(&seeds.forms, forms::form);
    run_all(&seeds.codings, negotiation::accept_encoding);
    run_all(&seeds.ranges, files::range);
    run_all(&seeds.conditions, files::condition);
    run_all(&seeds.paths, files::path_below);
    run_all(&seeds.forwarded, forwarded::lies);
    run_all(&seeds.hosts, forwarded::host);
    run_all(&seeds.routes, routes::patterns);
}

#[test]
fn mutated_conversations() {
    run(60_000, &seeds::seeds(2000).conversations, invariants::conversation);
}

#[test]
fn mutated_chunked_bodies() {
    run(15_000, &seeds::seeds(2000).chunked, invariants::chunked);
}

#[test]
fn mutated_targets() {
    run(10_000, &seeds::seeds(2000).targets, invariants::target);
}

#[test]
fn mutated_cookies() {
    run(10_000, &seeds::seeds(2000).cookies, invariants::cookies);
}

#[test]
fn mutated_queries() {
    run(10_000, &seeds::seeds(2000).queries, forms::query);
}

#[test]
fn mutated_codings() {
    run(20_000, &seeds::seeds(2000).codings, negotiation::accept_encoding);
}

#[test]
fn mutated_ranges() {
    run(30_000, &seeds::seeds(2000).ranges, files::range);
}

#[test]
fn mutated_conditions() {
    run(20_000, &seeds::seeds(2000).conditions, files::condition);
}

#[test]
fn mutated_paths_of_files() {
    run(20_000, &seeds::seeds(500).paths, files::path_below);
}

#[test]
fn mutated_words_of_proxies() {
    run(30_000, &seeds::seeds(2000).forwarded, forwarded::lies);
}

#[test]
fn mutated_hosts() {
    run(30_000, &seeds::seeds(2000).hosts, forwarded::host);
}

#[test]
fn mutated_routes() {
    run(30_000, &seeds::seeds(500).routes, routes::patterns);
}

#[test]
fn mutated_forms() {
    run(15_000, &seeds::seeds(2000).forms, forms::form);
}

#[test]
#[ignore = "writes what the fuzz targets begin with; `make fuzz` asks for it"]
fn write_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let seeds = seeds::seeds(4096);
    let conversations: Vec<Vec<u8>> = authority::conversations().into_iter().map(|(_, input)| input).collect();
    let (der, pem) = authority::certificate();
    for (target, seeds) in [
        ("head", &seeds.conversations),
        ("differential", &seeds.conversations),
        ("chunked", &seeds.chunked),
        ("target", &seeds.targets),
        ("cookies", &seeds.cookies),
        ("query", &seeds.queries),
        ("form", &seeds.forms),
        ("codings", &seeds.codings),
        ("range", &seeds.ranges),
        ("condition", &seeds.conditions),
        ("path", &seeds.paths),
        ("forwarded", &seeds.forwarded),
        ("host", &seeds.hosts),
        ("routes", &seeds.routes),
        ("authority_answer", &authority::answers()),
        ("authority_certificate", &vec![der]),
        ("authority_pem", &vec![pem]),
        ("authority_conversation", &conversations),
    ] {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:04}")), seed).unwrap();
        }
    }
}

fn run_all(inputs: &[Vec<u8>], check: fn(&[u8])) {
    for (number, input) in inputs.iter().enumerate() {
        let _named = Named { input, seed: 0, number };
        check(input);
    }
}

fn run(count: usize, seeds: &[Vec<u8>], check: fn(&[u8])) {
    each_mutation(count, seeds, |_, input| check(input));
}

/// Calls with each mutation and its number. On a slow machine it ends early, but not before a tenth of them.
pub(crate) fn each_mutation(count: usize, seeds: &[Vec<u8>], mut check: impl FnMut(usize, &[u8])) {
    let seed = std::env::var("OUTSIDE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let mut numbers = Numbers(seed);
    let deadline = Instant::now() + LONGEST;
    for number in 0..count {
        let input = mutate(&mut numbers, seeds);
        let _named = Named { input: &input, seed, number };
        check(number, &input);
        if number > count / 10 && Instant::now() > deadline {
            break;
        }
    }
}

const LONGEST: Duration = Duration::from_secs(60);

/// Prints the input if a check panics.
struct Named<'a> {
    input: &'a [u8],
    seed: u64,
    number: usize,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, number, input } = self;
            eprintln!("OUTSIDE_SEED={seed}, input {number}: {}", input.escape_ascii());
        }
    }
}
