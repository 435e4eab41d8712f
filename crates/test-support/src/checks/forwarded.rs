//! Properties of forwarding fields and of hosts that hold for every input; shared like `invariants`.
//!
//! The entry that a trusted proxy has written last decides, for any text that a client has written before it. One field
//! and the same entries in several name the same client. A host has exactly one canonical form.

use outside::Headers;
use outside::testing::{TestName, forwarded, host_name};

/// The values that a client might send in these fields, before a proxy adds its own.
pub fn lies(input: &[u8]) {
    let lie = String::from_utf8_lossy(input).replace(|letter: char| letter.is_control(), " ");
    for (name, truth) in
        [("Forwarded", "for=192.0.2.9;host=\"a.example\";proto=https"), ("X-Forwarded-For", "192.0.2.9")]
    {
        // As far as the field can hold it.
        let Some(alone) = fields(&[(name, &lie)]) else { return };
        let told = forwarded(&alone);
        assert!(told.as_ref().map_or(true, Option::is_some), "a field says something");
        if let Ok(Some((_, Some(host), _))) = &told {
            assert!(!host.is_empty() && !host.contains(['/', '@', ' ', '\\', '"']), "{host:?}");
        }
        for headers in [&[(name, &lie[..]), (name, truth)][..], &[(name, &format!("{lie}, {truth}"))]] {
            let Some(headers) = fields(headers) else { continue };
            let (client, host, secure) = named(&headers);
            assert_eq!(client.to_string(), "192.0.2.9:0", "{lie:?}");
            let expected = (name == "Forwarded").then_some(("a.example", true));
            assert_eq!(host.as_deref().zip(secure), expected, "{lie:?}");
        }
        // A trusted proxy nearer to the server does not change that.
        let nearer = if name == "Forwarded" { "for=\"[::ffff:10.0.0.2]:80\"" } else { "10.0.0.2:80" };
        let Some(headers) = fields(&[(name, &lie), (name, truth), (name, nearer)]) else { continue };
        assert_eq!(named(&headers).0.to_string(), "192.0.2.9:0", "{lie:?}");
    }
}

fn named(headers: &Headers) -> TestName {
    match forwarded(headers) {
        Ok(Some(named)) => named,
        other => panic!("{headers:?}: {other:?}"),
    }
}

fn fields(pairs: &[(&str, &str)]) -> Option<Headers> {
    let mut headers = Headers::new();
    pairs.iter().all(|(name, value)| headers.append(name, value).is_ok()).then_some(headers)
}

/// An authority.
pub fn host(input: &[u8]) {
    let Ok(authority) = std::str::from_utf8(input) else { return };
    let Some((name, stands)) = host_name(authority) else { return };
    assert!(stands, "{authority:?}: {name:?} is not itself");
    assert_eq!(name, name.to_ascii_lowercase());
    // The canonical form of the form is itself.
    let again = if name.contains(':') { format!("[{name}]:80") } else { format!("{}.:80", name.to_ascii_uppercase()) };
    assert_eq!(host_name(&again), Some((name, true)), "{authority:?}");
}
