//! hyper 1 as its documentation shows it: one task per connection on a current-thread runtime.
//!
//! `pipeline_flush` is on, because it is hyper's own answer to pipelined requests and costs the others nothing.

use bench_peers_rust::{address, hello, runtime};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

fn main() -> std::io::Result<()> {
    let address = address()?;
    runtime()?.block_on(async move {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                // The client closing in the middle is no news here.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service_fn(hello))
                    .await;
            });
        }
    })
}
