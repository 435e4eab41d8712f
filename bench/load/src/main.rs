//! A closed-loop HTTP/1.1 load generator for the bench.
//!
//! One thread and one epoll over all connections; the cost per request is one send, one recv and a share of an
//! epoll_wait, so that a server on the other core is measured alone. Every response is checked. `options` reads the
//! command line, `driver` runs the phases, `connection` owns a socket, `response` judges bytes, `sink`
//! those that are only counted, `secure` is TLS, `websocket` frames, `stalled` is a client that stopped to read, `report` prints.

mod connection;
mod driver;
mod options;
mod report;
mod response;
mod secure;
mod sink;
mod stalled;
mod websocket;

use std::io::{self, BufRead};
use std::process::ExitCode;

use driver::{Driver, Until};
use options::Options;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("bench-load: {why}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> io::Result<()> {
    let mut driver = Driver::new(options)?;
    driver.open_websockets()?;
    // Held to the end.
    let path = options.groups.first().and_then(|main| main.stalled.as_deref());
    let _stalled = path.map(|path| stalled::open(options.address, path)).transpose()?;
    driver.run(Until::Time(options.warmup))?;
    if options.gate {
        println!("{{\"event\":\"warm\"}}");
        wait_for_line()?;
    }
    let before = cpu_seconds();
    let (seconds, tallies) = driver.run(match options.requests {
        Some(count) => Until::Requests(count),
        None => Until::Time(options.duration),
    })?;
    let busy = (cpu_seconds() - before) / seconds;
    println!("{}", report::result(&tallies, seconds, busy, driver.error()));
    if options.gate {
        // The connections stay open until the other side has read the server's memory and CPU time.
        wait_for_line()?;
    }
    Ok(())
}

fn wait_for_line() -> io::Result<()> {
    io::stdin().lock().read_line(&mut String::new()).map(|_| ())
}

/// The time this thread was on a core, from `/proc/self/schedstat` (nanoseconds first); 0 where that is missing.
fn cpu_seconds() -> f64 {
    std::fs::read_to_string("/proc/self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(0.0, |nanoseconds| nanoseconds / 1e9)
}
