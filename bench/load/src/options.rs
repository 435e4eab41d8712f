//! The command line of the load generator.
//!
//! Read by hand: the options are few, and a parser crate would be the largest part of the program. Durations are
//! seconds, sizes bytes. A mistake is reported with the option's name; nothing here touches the network.

use std::net::SocketAddr;
use std::time::Duration;

use crate::secure::Sessions;

pub(crate) const USAGE: &str = "\
bench-load --connect IP:PORT [options]
  --path P            path of the main group (default /hello)
  --method M          method of the main group (default GET)
  --header 'N: V'     one more request field, may be repeated
  --body-file FILE    body of the main group; Content-Length is added
  --expect TEXT       the first response of the main group must have this body
  --expect-file FILE  the same, from a file
  --sink              content of the main group is counted, and thrown away by the kernel: for files too large to compare
  --websocket N       messages of N bytes over WebSockets on this path, each echoed, instead of requests
  --broadcast         with --websocket: the first connection sends, all have to get it, then it sends again
  --stalled P         with --broadcast: one more WebSocket on path P, which is written to until it is full and reads nothing
  --tls full|resumed  over TLS; a session is never resumed, or whenever there is a ticket
  --reconnect         a new connection for each request
  --connections N     keep-alive connections of the main group (default 64)
  --pipeline N        requests in one write, all answered before the next write (default 1)
  --duration S        seconds measured (default 3)
  --requests N        measure a count of requests instead of a duration
  --warmup S          seconds of load before the measurement (default 1)
  --beside-path P     a second group of connections on this path (GET), reported apart
  --beside-connections N   its connections (default 8)
  --limit S           give up when nothing was answered for so long (default 20)
  --gate              print {\"event\":\"warm\"} after the warm-up and wait for a line on stdin; after the result too
One JSON object on stdout is the result. Exit status 1: no measurement; errors within one are counted in it.";

/// The request of a group, and over how many connections.
#[derive(Debug, Clone)]
pub(crate) struct GroupOptions {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) expect: Option<Vec<u8>>,
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    pub(crate) sink: bool,
    /// Bytes of a message, where these are WebSockets.
    pub(crate) websocket: Option<usize>,
    pub(crate) broadcast: bool,
    /// The path at which a client joins that reads nothing.
    pub(crate) stalled: Option<String>,
    pub(crate) tls: Option<Sessions>,
    pub(crate) reconnects: bool,
}

impl GroupOptions {
    fn new(path: &str, connections: usize) -> Self {
        Self {
            method: "GET".into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            expect: None,
            connections,
            pipeline: 1,
            sink: false,
            websocket: None,
            broadcast: false,
            stalled: None,
            tls: None,
            reconnects: false,
        }
    }

    /// The bytes of one request.
    ///
    /// `Connection: keep-alive` is the default of HTTP/1.1 (RFC 9112 section 9.3); it is sent to every peer alike
    /// because some old servers close without it.
    pub(crate) fn request(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench-load\r\nAccept: */*\r\nConnection: keep-alive\r\n",
            self.method, self.path
        );
        for header in &self.headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) address: SocketAddr,
    /// The main group first; the one beside it, if any, second.
    pub(crate) groups: Vec<GroupOptions>,
    pub(crate) duration: Duration,
    pub(crate) requests: Option<u64>,
    pub(crate) warmup: Duration,
    pub(crate) limit: Duration,
    pub(crate) gate: bool,
}

pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut arguments = arguments;
    let mut address = None;
    let mut main = GroupOptions::new("/hello", 64);
    let mut beside_path = None;
    let mut beside_connections = 8;
    let mut options = Options {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        groups: Vec::new(),
        duration: Duration::from_secs(3),
        requests: None,
        warmup: Duration::from_secs(1),
        limit: Duration::from_secs(20),
        gate: false,
    };
    while let Some(name) = arguments.next() {
        let flag = match name.as_str() {
            "--gate" => Some(&mut options.gate),
            "--sink" => Some(&mut main.sink),
            "--reconnect" => Some(&mut main.reconnects),
            "--broadcast" => Some(&mut main.broadcast),
            _ => None,
        };
        if let Some(flag) = flag {
            *flag = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--connect" => address = Some(number::<SocketAddr>(&name, &value)?),
            "--path" => main.path = value,
            "--method" => main.method = value,
            "--header" => main.headers.push(value),
            "--body-file" => main.body = std::fs::read(&value).map_err(|e| format!("{name} {value}: {e}"))?,
            "--expect-file" => main.expect = Some(std::fs::read(&value).map_err(|e| format!("{name} {value}: {e}"))?),
            "--expect" => main.expect = Some(value.into_bytes()),
            "--connections" => main.connections = number(&name, &value)?,
            "--websocket" => main.websocket = Some(number(&name, &value)?),
            "--stalled" => main.stalled = Some(value),
            "--tls" => {
                main.tls = Some(match value.as_str() {
                    "full" => Sessions::Full,
                    "resumed" => Sessions::Resumed,
                    _ => return Err(format!("--tls is full or resumed, not {value:?}")),
                });
            }
            "--pipeline" => main.pipeline = number(&name, &value)?,
            "--duration" => options.duration = seconds(&name, &value)?,
            "--requests" => options.requests = Some(number(&name, &value)?),
            "--warmup" => options.warmup = seconds(&name, &value)?,
            "--beside-path" => beside_path = Some(value),
            "--beside-connections" => beside_connections = number(&name, &value)?,
            "--limit" => options.limit = seconds(&name, &value)?,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    options.address = address.ok_or("--connect IP:PORT is needed")?;
    if main.connections == 0 || main.pipeline == 0 {
        return Err("--connections and --pipeline are at least 1".into());
    }
    if main.sink && (main.pipeline > 1 || main.expect.is_some()) {
        return Err("--sink goes with neither --pipeline nor --expect".into());
    }
    if main.websocket.is_some() && (main.pipeline > 1 || main.sink || main.expect.is_some()) {
        return Err("--websocket goes with neither --pipeline nor --sink nor --expect".into());
    }
    if main.tls.is_some() && (main.sink || main.websocket.is_some()) {
        return Err("--tls goes with neither --sink nor --websocket".into());
    }
    if main.reconnects && (main.pipeline > 1 || main.sink || main.websocket.is_some()) {
        return Err("--reconnect goes with neither --pipeline nor --sink nor --websocket".into());
    }
    if main.broadcast && (main.websocket.is_none() || options.requests.is_some() || beside_path.is_some()) {
        return Err("--broadcast needs --websocket, and goes with neither --requests nor --beside-path".into());
    }
    if main.stalled.is_some() && !main.broadcast {
        return Err("--stalled needs --broadcast".into());
    }
    options.groups.push(main);
    if let Some(path) = beside_path {
        options.groups.push(GroupOptions::new(&path, beside_connections));
    }
    Ok(options)
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} does not take {value:?}"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(name, value)?).map_err(|e| format!("{name} {value}: {e}"))
}
