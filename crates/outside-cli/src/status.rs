//! `outside status`: prints the state of a running server as JSON, or opens its page in a browser.
//!
//! A browser opens no Unix socket. Then this command listens at a free port of this machine until it is ended, and hands
//! on the requests below an address that cannot be guessed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{ENDED, NOT_STARTED, USAGE, fail, print};

/// Time for the server to answer, and for a browser to ask.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request of a browser at most.
const LARGEST_REQUEST: usize = 16 << 10;

/// The order of the command line.
#[derive(Debug, PartialEq)]
pub(crate) struct StatusOrder {
    /// The place of `config["metrics"]`; `None`: the one that the environment names.
    pub(crate) place: Option<String>,
    /// Whether JSON is printed and no page opened.
    pub(crate) json: bool,
}

/// The place of a server's metrics.
enum StatusPlace {
    Tcp(String),
    Unix(String),
}

/// Does what is asked; returns the exit status.
pub(crate) fn run(order: &StatusOrder) -> u8 {
    let named = order.place.clone().or_else(|| std::env::var("OUTSIDE_METRICS").ok()).filter(|place| !place.is_empty());
    let Some(named) = named else {
        return fail(
            USAGE,
            "status lacks the place of the server's metrics, as its config[\"metrics\"] has it: 127.0.0.1:9464, or \
             unix:PATH; OUTSIDE_METRICS may name it",
        );
    };
    // As the server prints it.
    let named = match named.strip_prefix("http://") {
        Some(rest) => rest.split('/').next().unwrap_or_default().to_owned(),
        None => named,
    };
    let place = match named.strip_prefix("unix:") {
        Some(path) => StatusPlace::Unix(path.to_owned()),
        None if named.contains(':') => StatusPlace::Tcp(named.clone()),
        None if named.parse::<u16>().is_ok() => StatusPlace::Tcp(format!("127.0.0.1:{named}")),
        None => return fail(USAGE, &format!("{named:?} is no place: 127.0.0.1:9464, or unix:PATH")),
    };
    let answer = match fetch(&place, "/status.json") {
        Ok(answer) => answer,
        Err(error) => return fail(NOT_STARTED, &format!("no server tells its metrics at {named}: {error}")),
    };
    let (status, body) = parts(&answer);
    match status {
        200 => {}
        404 => {
            return fail(NOT_STARTED, "this server has no status page: config[\"status_page\"] = True switches it on");
        }
        status => {
            return fail(NOT_STARTED, &format!("{named} answers {status}: {}", String::from_utf8_lossy(body).trim()));
        }
    }
    if order.json {
        return print(&format!("{}\n", String::from_utf8_lossy(body)));
    }
    match &place {
        StatusPlace::Tcp(address) => {
            open(&format!("http://{address}/status"));
            ENDED
        }
        StatusPlace::Unix(_) => match hand_on(&place) {
            Ok(()) => ENDED,
            Err(error) => fail(NOT_STARTED, &format!("the page cannot be handed on: {error}")),
        },
    }
}

/// Prints the address of the page, and opens it if there is a screen.
fn open(url: &str) {
    print(&format!("the status page is at {url}\n"));
    let has_screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].iter().any(|name| std::env::var_os(name).is_some());
    if has_screen {
        let usual = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let named = std::env::var("BROWSER").ok().filter(|browser| !browser.is_empty());
        let command = named.unwrap_or_else(|| usual.to_owned());
        // Without such a program, the address is for people to open.
        let _is_opened =
            Command::new(command).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}

/// Both directions of a connection to the server.
trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

fn connect(place: &StatusPlace) -> io::Result<Box<dyn Wire>> {
    match place {
        StatusPlace::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
        StatusPlace::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
    }
}

/// The whole answer to a request.
fn fetch(place: &StatusPlace, target: &str) -> io::Result<Vec<u8>> {
    let mut wire = connect(place)?;
    // The server closes behind its answer.
    wire.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    wire.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The status and the content of an answer.
fn parts(answer: &[u8]) -> (u16, &[u8]) {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = String::from_utf8_lossy(line).split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), &answer[head..])
}

/// Listens at a free port of this machine, and hands requests on, until this program is ended.
fn hand_on(place: &StatusPlace) -> io::Result<()> {
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    print("until Ctrl+C, ");
    open(&format!("http://127.0.0.1:{port}/{token}/status"));
    for stream in listener.incoming() {
        // A browser that has left needs no answer.
        let _is_answered = stream.and_then(|mut stream| pass(&mut stream, place, &token, port));
    }
    Ok(())
}

/// Hands one request on, and its answer back.
fn pass(stream: &mut TcpStream, place: &StatusPlace, token: &str, port: u16) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut piece = [0; 2048];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut piece)?;
        if count == 0 || request.len() > LARGEST_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&piece[..count]);
    }
    let answer = match target_of(&String::from_utf8_lossy(&request), token, port) {
        Some(target) => fetch(place, &target)?,
        None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
    };
    stream.write_all(&answer)?;
    stream.shutdown(Shutdown::Write)
}

/// The target for the server; `None` unless the request has the token and names this machine.
fn target_of(request: &str, token: &str, port: u16) -> Option<String> {
    let mut lines = request.split("\r\n");
    let target = lines.next()?.strip_prefix("GET ")?.split(' ').next()?;
    let host = lines.find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("host")))?.1;
    let is_local = host.trim() == format!("127.0.0.1:{port}");
    let rest = target.strip_prefix('/')?.strip_prefix(token)?;
    (is_local && rest.starts_with('/')).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_are_handed_on() {
        let asked = |target: &str, host: &str| {
            target_of(&format!("GET {target} HTTP/1.1\r\nAccept: */*\r\nhOst: {host}\r\n\r\n"), "abc", 5)
        };
        assert_eq!(asked("/abc/status.json?x=1", "127.0.0.1:5").as_deref(), Some("/status.json?x=1"));
        for (target, host) in [
            ("/abc/status", "example.com:5"),
            ("/abc/status", "127.0.0.1:6"),
            ("/abd/status", "127.0.0.1:5"),
            ("/status", "127.0.0.1:5"),
            ("/abcd/status", "127.0.0.1:5"),
        ] {
            assert_eq!(asked(target, host), None, "{target} {host}");
        }
        assert_eq!(target_of("POST /abc/status HTTP/1.1\r\nHost: 127.0.0.1:5\r\n\r\n", "abc", 5), None);
    }

    #[test]
    fn the_parts_of_an_answer() {
        assert_eq!(parts(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}"), (200, &b"{}"[..]));
        assert_eq!(parts(b"nonsense"), (0, &b""[..]));
    }
}
