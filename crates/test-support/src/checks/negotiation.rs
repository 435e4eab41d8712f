//! Properties of Accept-Encoding fields that hold for every input; shared like `invariants`.
//!
//! The division of the list into fields, the order, the case of letters and unknown members do not matter. The chosen
//! coding is available, and no available coding is preferred to it.

use outside::testing::{accepted_codings, chosen_coding};

/// The values of some Accept-Encoding fields, each in a line.
pub fn accept_encoding(input: &[u8]) {
    let values: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let accepted = accepted_codings(&values);
    assert!(accepted.iter().all(|&(_, weight)| weight <= 1000), "{accepted:?}");

    let members: Vec<&[u8]> = input.split(|&byte| matches!(byte, b'\n' | b',')).collect();
    let reversed: Vec<&[u8]> = members.iter().rev().copied().collect();
    let joined = reversed.join(&b" ,\t"[..]);
    let (upper, lower) = (joined.to_ascii_uppercase(), joined.to_ascii_lowercase());
    assert_eq!(accepted_codings(&members), accepted, "each in a field of its own");
    assert_eq!(accepted_codings(&[&joined]), accepted, "in one field, from the end");
    assert_eq!(accepted_codings(&[&upper]), accepted, "in upper case");
    assert_eq!(accepted_codings(&[&lower, b"x;q=1, , gzip;q=1.5, br;x"]), accepted, "with others beside it");

    // Written again, it is read as the same.
    let name = |token: &'static str| if token.is_empty() { "identity" } else { token };
    let written: Vec<String> = accepted
        .iter()
        .map(|&(token, weight)| format!("{};q={}.{:03}", name(token), weight / 1000, weight % 1000))
        .collect();
    assert_eq!(accepted_codings(&[written.join(",").as_bytes()]), accepted, "written down again");

    for set in 0..8 {
        let tokens = ["zstd", "br", "gzip"].into_iter().enumerate().filter(|(place, _)| set >> place & 1 == 1);
        let available: Vec<&str> = tokens.map(|(_, token)| token).chain([""]).collect();
        let chosen = chosen_coding(&values, &available);
        let weight_of = |wanted: &str| accepted.iter().find(|(token, _)| *token == wanted).map_or(0, |pair| pair.1);
        assert!(available.contains(&chosen), "{chosen} is not there");
        assert!(available.iter().all(|token| weight_of(token) <= weight_of(chosen)), "{chosen} of {available:?}");
        assert!(chosen.is_empty() || weight_of(chosen) > 0, "{chosen} was ruled out");
    }
}
