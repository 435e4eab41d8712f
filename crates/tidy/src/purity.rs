//! Law 2: `protocol/` and `message/` take bytes and time as arguments.
//!
//! No socket, clock, runtime, thread, process or file: their names may not stand there, not even behind a glob or a
//! renamed module. Tests may use all of them.

use crate::Problem;
use crate::rust::Source;

/// The rooms that are kept pure.
const PURE: &[&str] = &["protocol", "message"];

/// A module or crate with sockets, clocks or files, and the names in it that are plain values.
const WORLD: &[(&[&str], &[&str])] = &[
    (
        &["std", "net"],
        &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"],
    ),
    (&["std", "time"], &["Duration", "UNIX_EPOCH"]),
    (&["std", "fs"], &[]),
    (&["std", "thread"], &[]),
    (&["std", "process"], &[]),
    (&["std", "env"], &[]),
    (&["std", "os"], &[]),
    (&["std", "io", "stdin"], &[]),
    (&["std", "io", "stdout"], &[]),
    (&["std", "io", "stderr"], &[]),
    (&["tokio"], &[]),
    (&["mio"], &[]),
    (&["socket2"], &[]),
    (&["signal_hook"], &[]),
];

/// Checks one file of the engine.
pub fn check(path: &str, inside: &str, source: &Source) -> Vec<Problem> {
    let room = inside.split('/').next().map_or(inside, |first| first.trim_end_matches(".rs"));
    if !PURE.contains(&room) {
        return Vec::new();
    }
    let worldly = source.paths.iter().filter(|named| names_the_world(&named.parts));
    worldly
        .map(|named| {
            let name = named.parts.join("::");
            Problem::new(path, named.line, format!("law 2: `{room}` names `{name}`; take bytes and time as arguments"))
        })
        .collect()
}

fn names_the_world(parts: &[String]) -> bool {
    WORLD.iter().any(|(module, values)| {
        let begins = parts.len() >= module.len() && module.iter().zip(parts).all(|(wanted, part)| wanted == part);
        begins && !parts.get(module.len()).is_some_and(|name| values.contains(&name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laws(inside: &str, text: &str) -> Vec<String> {
        let source = Source::read(inside, text);
        check(inside, inside, &source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn plain_values_are_allowed() {
        let text = "use std::{io::Write, net::{IpAddr, SocketAddr}, time::Duration}; use bytes::Bytes; // std::fs\n";
        assert!(laws("message/mod.rs", text).is_empty());
        assert!(laws("protocol/http1/head.rs", "#[test] fn t() { std::fs::read(\"x\"); }").is_empty());
        assert!(laws("server/accept.rs", "use tokio::net::TcpListener;").is_empty(), "other rooms may");
    }

    #[test]
    fn the_world_is_refused() {
        assert_eq!(
            laws("protocol/http1/head.rs", "\n\nuse std::time::Instant;"),
            [
                "protocol/http1/head.rs:3: law 2: `protocol` names `std::time::Instant`; take bytes and time as arguments"
            ]
        );
        for text in [
            "use std::fs;",
            "use std::fs::File;",
            "use std::net::TcpStream;",
            "use std::net;",
            "use std::net::{self, IpAddr};",
            "use std::net::*;",
            "use std::time::{Duration, SystemTime};",
            "use std::thread as t;",
            "use tokio::io::AsyncRead;",
            "use tokio;",
            "fn f() { std::thread::spawn(g); }",
            "fn f() { let now = std::time::Instant::now(); }",
        ] {
            assert_eq!(laws("message/request.rs", text).len(), 1, "{text}");
        }
    }
}
