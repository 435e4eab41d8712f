//! Echoes WebSocket messages with tokio-tungstenite at its defaults: one task per connection on a current-thread runtime.

use std::io;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Error;

fn main() -> io::Result<()> {
    bench_peers_rust::runtime()?.block_on(serve())
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(bench_peers_rust::address()?).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
