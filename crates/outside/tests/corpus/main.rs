//! The corpus, played against the Rust face. The Python suite plays the same files against the Python face.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod app;
mod files;
mod player;
mod reader;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outside::{Address, Error, Listener, OutsideHttp};

#[test]
fn every_case_is_answered_as_the_corpus_says() {
    let cases = reader::all_cases();
    assert!(cases.len() > 250, "only {} cases found", cases.len());
    let failures: Vec<String> = while_serving(app::server().unwrap(), |address| {
        let faults = cases.iter().filter_map(|case| {
            let fault = player::play(case, address).err()?;
            Some(format!("{} ({}): {fault}", case.title, case.place))
        });
        faults.collect()
    });
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn files_are_answered_as_the_tables_say() {
    let (server, _place) = files::server().unwrap();
    let failures = while_serving(server, files::play);
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

fn while_serving<T>(server: OutsideHttp, work: impl FnOnce(SocketAddr) -> T) -> T {
    let server = Arc::new(server);
    let running = Arc::clone(&server);
    let run = move || {
        let listener = Listener::bind(&Address::resolve(("127.0.0.1", 0))?, 128, false)?;
        running.run_with::<Error>(running.enter()?, vec![listener], &running.config, |_| (), || Ok(()))
    };
    let thread = thread::spawn(run);
    assert!(server.wait_until_ready(Some(Duration::from_secs(10))), "not ready in time");
    let done = work(server.address().and_then(|address| address.socket_addr()).unwrap());
    server.terminate(false);
    thread.join().unwrap().unwrap();
    done
}
