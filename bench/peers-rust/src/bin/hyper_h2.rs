//! hyper 1 for HTTP/2 by prior knowledge, and HTTP/1.1 for the first question: one task per connection and one per stream,
//! on a current-thread runtime. Defaults, as its documentation shows them.

use bench_peers_rust::{address, hello, runtime};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
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
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service_fn(hello)).await;
            });
        }
    })
}
