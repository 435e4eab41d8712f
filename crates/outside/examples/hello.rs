//! The quick start: `cargo run --release --example hello`, then open http://127.0.0.1:8080/hello.

use outside::{Error, OutsideHttp, Request, Response};

fn main() -> Result<(), Error> {
    let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    server.set_route("/hello", |_request: &Request| Response::text("Hello, World!"))?;
    server.run()
}
