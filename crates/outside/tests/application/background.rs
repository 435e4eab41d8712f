//! Functions that run beside requests.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outside::handler::{NoRuntime, asynchronous};
use outside::{Error, Request};
use outside_test_support::log::Log;

use super::{get, server};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn functions_run_after_the_answer() {
    let server = server();
    let (sender, receiver) = mpsc::channel();
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let sender_of = |name: &'static str| {
        let (sender, wait) = (sender.clone(), Arc::clone(&wait));
        move |request: &Request| {
            let (sender, wait) = (sender.clone(), Arc::clone(&wait));
            // The answer does not wait for this.
            request.after(move || -> Result<(), Error> {
                wait.lock().unwrap().recv()?;
                Ok(sender.send(name)?)
            });
            "answered"
        }
    };
    server.get("/plain", sender_of("plain")).unwrap();
    let later = Arc::new(sender_of("async"));
    server
        .get(
            "/async",
            asynchronous(move |request: Arc<Request>| {
                let later = Arc::clone(&later);
                async move { later(&request) }
            }),
        )
        .unwrap();
    let client = server.test_client().unwrap();
    for (path, name) in [("/plain", "plain"), ("/async", "async")] {
        assert_eq!(get(&client, path).text(), "answered");
        assert!(receiver.try_recv().is_err());
        release.send(()).unwrap();
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), name);
    }
}

#[test]
fn the_end_of_the_server_waits_for_them() {
    let server = server();
    let done = Arc::new(Mutex::new(Vec::new()));
    let later = |name: &'static str| {
        let done = Arc::clone(&done);
        move || {
            std::thread::sleep(Duration::from_millis(50));
            done.lock().unwrap().push(name);
        }
    };
    let after = Arc::new(later("after"));
    server
        .get("/", move |request: &Request| {
            let after = Arc::clone(&after);
            request.after(move || after());
            "answered"
        })
        .unwrap();
    let client = server.test_client().unwrap();
    server.background(later("at once")).unwrap();
    get(&client, "/");
    drop(client);
    let mut done = done.lock().unwrap().clone();
    done.sort_unstable();
    assert_eq!(done, ["after", "at once"]);
}

#[test]
fn failures_go_to_the_log_and_the_queue_has_a_bound() {
    let log = Log::default();
    let mut server = server().embedded(Arc::new(NoRuntime), Arc::new(log.clone()));
    server.config.max_background = 1;
    server.config.termination_timeout = Duration::ZERO;
    let client = server.test_client().unwrap();
    server.background(|| Err::<(), _>("the disk is full")).unwrap();
    server.background(|| -> Result<(), String> { panic!("it has a fault") }).unwrap();
    let (begun, is_begun) = mpsc::channel();
    let (release, wait) = mpsc::channel::<()>();
    server
        .background(move || {
            begun.send(()).unwrap();
            wait.recv()
        })
        .unwrap();
    is_begun.recv_timeout(PATIENCE).unwrap();
    for _ in 0..1000 {
        server.background(|| ()).unwrap();
    }
    let text = server.background(|| ()).unwrap_err().to_string();
    assert_eq!(text, "1000 background functions wait already, behind the 1 that run (config.max_background)");
    drop(client);
    drop(release);
    let events = log.events().join("\n");
    for part in [
        "a background function failed: the disk is full",
        "a background function failed: it panicked",
        "background functions that were not begun before the server ended: 1000",
        "background functions that took longer than termination_timeout and were left behind: 1",
    ] {
        assert!(events.contains(part), "{part} in\n{events}");
    }
}
