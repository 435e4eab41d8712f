//! The corpus, played against the Rust face. The Python suite plays the same files against the Python face.

mod app;
mod player;
mod reader;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outside::{Address, Error, Listener};

#[test]
fn every_case_is_answered_as_the_corpus_says() {
    let server = Arc::new(app::server().unwrap());
    let running = Arc::clone(&server);
    let run = move || {
        let listener = Listener::bind(&Address::resolve(("127.0.0.1", 0))?, 128, false)?;
        running.run_with::<Error>(running.enter()?, vec![listener], &running.config, |_| (), || Ok(()))
    };
    let thread = thread::spawn(run);
    assert!(server.wait_until_ready(Some(Duration::from_secs(10))), "not ready in time");
    let address = server.address().and_then(|address| address.socket_addr()).unwrap();

    let cases = reader::all_cases();
    assert!(cases.len() > 250, "only {} cases found", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let fault = player::play(case, address).err()?;
            Some(format!("{} ({}): {fault}", case.title, case.place))
        })
        .collect();

    server.terminate(false);
    thread.join().unwrap().unwrap();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
