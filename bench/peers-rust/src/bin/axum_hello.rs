//! axum as its documentation shows it, on a current-thread runtime.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use bench_peers_rust::{HELLO, address, runtime};
use tokio::net::TcpListener;

async fn hello() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain")], HELLO)
}

fn main() -> std::io::Result<()> {
    let address = address()?;
    runtime()?.block_on(async move {
        let listener = TcpListener::bind(address).await?.tap_io(|stream| {
            // Not fatal: the answer is one write anyway.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, Router::new().route("/hello", get(hello))).await
    })
}
