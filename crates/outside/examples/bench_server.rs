//! A server for outside harnesses: `bench_server PORT [FOLDER]`. Routes: `/hello`, and `/files` for the folder. The access
//! log is `OUTSIDE_ACCESS_LOG` (`off` by default here, so that peers without a log can be compared).

use outside::{Config, Error, Folder, OutsideHttp, Request, Response, Value};

fn main() -> Result<(), Error> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| Error::new("usage: bench_server PORT [FOLDER]"))?;
    let mut server = OutsideHttp::new(("127.0.0.1", port))?;
    let log = std::env::var("OUTSIDE_ACCESS_LOG").unwrap_or_else(|_| "off".into());
    server.config = Config::from_values([("access_log", Value::Owned(log))])?;
    server.set_route("/hello", |_request: &Request| {
        Response::new(200).with_header("Content-Type", "text/plain").with_content("Hello, World!")
    })?;
    if let Some(folder) = std::env::args().nth(2) {
        server.set_route("/files", Folder::new(folder)?)?;
    }
    server.run()
}
