//! Echoes WebSocket messages with fastwebsockets, as its own example does: hyper for the upgrade, one task per connection
//! on a current-thread runtime.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

fn main() -> io::Result<()> {
    bench_peers_rust::runtime()?.block_on(serve())
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(bench_peers_rust::address()?).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(open)).with_upgrades();
        tokio::spawn(connection);
    }
}

async fn open(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    match upgrade::upgrade(&mut request) {
        Ok((response, opened)) => {
            tokio::spawn(tokio::task::unconstrained(echo(opened)));
            Ok(response)
        }
        Err(_) => {
            let mut refused = Response::new(Empty::new());
            *refused.status_mut() = StatusCode::BAD_REQUEST;
            Ok(refused)
        }
    }
}

async fn echo(opened: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(opened.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
