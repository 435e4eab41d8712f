//! The server of a program, as the command line names it: `outside run app:server`, `outside routes app:server`.
//!
//! The program is run elsewhere: by the Python package, for programs in Python.

use std::ffi::OsString;

use outside::CertificateFiles;

/// An order about the server of a program. `None` stands for an option that was not given.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Whether the server is run or its routes are listed.
    pub action: Action,
    /// `module:attribute` or `path/to/file:attribute`, as it was typed.
    pub target: String,
    /// IP address, host name, or `unix:PATH`.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The allowed hosts; empty if none were given.
    pub allowed_hosts: Vec<String>,
    /// Certificate and key, for TLS.
    pub tls: Option<CertificateFiles>,
    /// The form of the access log.
    pub log: Option<String>,
    /// The options of `outside run` alone.
    pub options: ProgramOptions,
}

/// The two commands about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `outside run`: the server is run.
    Run,
    /// `outside routes`: the routes are printed.
    Routes,
}

/// The options of `outside run` alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgramOptions {
    /// A number of processes, or `auto`.
    pub workers: Option<String>,
    /// Whether the program starts again when one of its files changes.
    pub reload: bool,
    /// Whether error pages show tracebacks.
    pub debug: bool,
    /// Options of other servers, and those of the program, as they were typed: each with its value if it takes one.
    pub others: Vec<(String, Option<String>)>,
}

impl Action {
    /// The action of the first word, if it is about a program.
    pub(crate) fn of(word: &OsString) -> Option<Self> {
        match word.to_str() {
            Some("run") => Some(Self::Run),
            Some("routes") => Some(Self::Routes),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Routes => "routes",
        }
    }
}

/// The only word, if there is one; a second one is a fault.
pub(crate) fn one(words: Vec<OsString>, what: &str) -> Result<Option<OsString>, String> {
    match words.get(1) {
        Some(second) => Err(format!("one argument too many: {second:?} after {what}")),
        None => Ok(words.into_iter().next()),
    }
}

/// The server named behind the first word.
pub(crate) fn target(action: Action, mut words: Vec<OsString>) -> Result<String, String> {
    let word = action.word();
    words.remove(0);
    match one(words, "the server")? {
        Some(target) => target.into_string().map_err(|target| format!("{target:?} is no module and no file")),
        None => Err(format!(
            "{word} lacks the server, such as outside {word} app:server, where app.py has server = OutsideHTTP(...); a folder \
             of that name is ./{word}; outside {word} . looks for it here"
        )),
    }
}

/// A number of processes, as it was typed.
pub(crate) fn workers_of(text: String) -> Result<String, String> {
    match text.parse() {
        Ok(1..=1024u16) => Ok(text),
        _ if text == "auto" => Ok(text),
        _ => Err(format!("--workers is a number from 1 to 1024, or auto: one for each core; not {text:?}")),
    }
}
