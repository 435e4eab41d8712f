//! Plays the corpus against the Rust face. The Python suite plays the same files against the Python face.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod app;
mod files;
mod forms;
mod player;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outside::listen::{Address, Listener};
use outside::{Error, FilePath, Folder, OutsideHttp};

#[test]
fn every_case_is_answered_as_the_corpus_says() {
    let cases = outside_test_support::corpus::all_cases();
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

#[test]
fn a_folder_that_is_not_there_is_an_error_at_once() {
    let place = tempfile::tempdir().unwrap();
    let (missing, file) = (place.path().join("missing"), place.path().join("file"));
    std::fs::write(&file, "x").unwrap();
    for path in [&missing, &file] {
        let error = Folder::new(path).unwrap_err().to_string();
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
    }
    let server = OutsideHttp::new(("127.0.0.1", 0)).unwrap();
    assert!(server.set_route("/", FilePath(missing.to_string_lossy().into_owned())).is_err());
    assert!(server.set_route("/", FilePath(file.to_string_lossy().into_owned())).is_ok());
}
