//! The command `outside`: serves a folder, redirects, runs the server of a program, or writes a test certificate.
//!
//! The binary, the script of the Python package and `python -m outside` all run it. `arguments` reads the command line,
//! `service` makes a server of it; this file prints lines and chooses the exit status. A caller from another language
//! brings its own way to watch signals.

mod arguments;
mod certificate;
mod certificate_words;
mod managed;
mod peers;
mod program;
mod service;
mod status;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use outside::listen::Endpoint;
use outside::{Error, OutsideHttp};

use arguments::Task;
pub use program::{Action, Program, ProgramOptions};

/// Exit status: the server was ended as asked, or the command has printed its text.
pub const ENDED: u8 = 0;
/// Exit status: the command line is wrong.
pub const USAGE: u8 = 2;
/// Exit status: the server could not start.
pub const NOT_STARTED: u8 = 3;

/// Runs the command of these arguments (the first is the program's own name); returns the exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    run_by(
        arguments,
        |server, started| server.run_telling(started),
        |_| {
            fail(
                USAGE,
                "outside run and outside routes are for programs in Python: pip install outside-framework brings the command that can",
            )
        },
    )
}

/// The same; `serve` runs the server, tells its second argument where it listens, and watches signals in its own way,
/// `program` runs or lists the server of a program, and returns the exit status: for bindings.
pub fn run_by(
    arguments: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(&OutsideHttp, &(dyn Fn(&[Endpoint]) + Sync)) -> Result<(), Error>,
    program: impl FnOnce(&Program) -> u8,
) -> u8 {
    let order = match arguments::read(arguments) {
        Ok(Task::Help) => return print(include_str!("help.txt")),
        Ok(Task::Version) => return print(concat!("outside ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Task::Certificate(names)) => {
            return match certificate::write(Path::new("."), &names) {
                Ok(text) => print(&text),
                Err((status, fault)) => fail(status, &fault),
            };
        }
        Ok(Task::Managed(storage, action)) => {
            return match managed::run(storage, &action) {
                Ok(text) => print(&text),
                Err((status, fault)) => fail(status, &fault),
            };
        }
        Ok(Task::Status(asked)) => return status::run(&asked),
        Ok(Task::Serve(order)) => order,
        Ok(Task::Program(asked)) => return program(&asked),
        Err(fault) => return fail(USAGE, &format!("{fault} (outside --help explains)")),
    };
    let (server, subject) = match service::make(&order) {
        Ok(made) => made,
        Err((status, fault)) => return fail(status, &fault),
    };
    let started = |endpoints: &[Endpoint]| {
        for endpoint in endpoints {
            print(&subject.greeting(&endpoint.to_string()));
        }
    };
    match serve(&server, &started) {
        Ok(()) => ENDED,
        Err(error) => fail(NOT_STARTED, &service::explained(&error)),
    }
}

/// Prints a text; a closed standard output is no error.
fn print(text: &str) -> u8 {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).unwrap_or_default();
    ENDED
}

fn fail(status: u8, fault: &str) -> u8 {
    let line = format!("outside: {fault}\n");
    std::io::stderr().lock().write_all(line.as_bytes()).unwrap_or_default();
    status
}
