//! The command line: words become an order, or an error message. No file is read here, and no socket opened.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use lexopt::{Arg, Error as Unreadable, Parser, ValueExt as _};
use outside::config::{AccessLog, CertificateFiles};

use crate::certificate_words::{CertificateTask, ManagedAction, certificate_task, domain_of};
use crate::peers::takes_value;
use crate::program::{Action, Program, ProgramOptions, one, target, workers_of};
use crate::status::StatusOrder;

/// The task of the command.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    Help,
    Version,
    Serve(Order),
    /// A certificate for development, for these names.
    Certificate(Vec<String>),
    /// The certificates that are obtained by servers: the folder that was given, and the action.
    Managed(Option<PathBuf>, ManagedAction),
    Program(Program),
    /// The state of a running server.
    Status(StatusOrder),
}

/// The server that the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) what: What,
    pub(crate) place: Place,
    pub(crate) log: AccessLog,
    pub(crate) tls: Option<CertificateFiles>,
    /// The allowed hosts, as they were typed.
    pub(crate) allowed_hosts: Vec<String>,
    /// The names for which certificates are obtained, as they were typed, and the folder of these certificates.
    pub(crate) domains: Vec<String>,
    pub(crate) storage: Option<PathBuf>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum What {
    Folder(FolderOrder),
    /// A redirect of every request to this URL.
    Redirect(String),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    /// The whole text `unix:PATH`.
    Unix(String),
}

/// The options for a folder.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct FolderOrder {
    pub(crate) path: PathBuf,
    pub(crate) listing: bool,
    pub(crate) spa: Option<String>,
    /// Patterns and their values of Cache-Control.
    pub(crate) cache_control: Vec<(String, String)>,
    pub(crate) no_compression: bool,
}

/// The default port, as in the tutorial and all examples; it needs no privilege.
pub(crate) const PORT: u16 = 8080;
pub(crate) const HOST: &str = "127.0.0.1";
/// The place of a server with `--domain`: all addresses of IPv6 and IPv4, and the port of HTTPS.
pub(crate) const PUBLIC_HOST: &str = "::";
pub(crate) const PUBLIC_PORT: u16 = 443;

const COMMANDS: &[&str] = &["redirect", "run", "routes", "cert", "status"];
const OPTIONS: &[&str] = &[
    "--host",
    "--port",
    "--allowed-host",
    "--domain",
    "--acme-storage",
    "--certfile",
    "--keyfile",
    "--listing",
    "--spa",
    "--cache-control",
    "--no-compression",
    "--workers",
    "--reload",
    "--debug",
    "--json",
    "--log",
    "--help",
    "--version",
];

/// Reads the arguments; the first is the program's own name.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, String> {
    let mut parser = Parser::from_iter(arguments);
    let (mut words, mut host, mut port, mut log) = (Vec::new(), None, None, None);
    let (mut allowed_hosts, mut domains, mut storage) = (Vec::new(), Vec::new(), None);
    let mut folder = FolderOrder::default();
    let mut options = ProgramOptions::default();
    let (mut certfile, mut keyfile) = (None, None);
    while let Some(argument) = parser.next().map_err(said)? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Task::Version),
            Arg::Long("host") => host = Some(text(&mut parser)?),
            Arg::Short('p') | Arg::Long("port") => port = Some(port_of(&text(&mut parser)?)?),
            Arg::Long("allowed-host") => allowed_hosts.push(text(&mut parser)?),
            Arg::Long("domain") => domains.push(domain_of(text(&mut parser)?)?),
            Arg::Long("acme-storage") => storage = Some(PathBuf::from(parser.value().map_err(said)?)),
            Arg::Long("certfile") => certfile = Some(PathBuf::from(parser.value().map_err(said)?)),
            Arg::Long("keyfile") => keyfile = Some(PathBuf::from(parser.value().map_err(said)?)),
            Arg::Short('l') | Arg::Long("listing") => folder.listing = true,
            Arg::Long("spa") => {
                let name = parser.optional_value().unwrap_or_else(|| "index.html".into());
                folder.spa = Some(name.string().map_err(said)?);
            }
            Arg::Long("cache-control") => folder.cache_control.push(pattern_of(&text(&mut parser)?)?),
            Arg::Long("no-compression") => folder.no_compression = true,
            Arg::Short('w') | Arg::Long("workers") => options.workers = Some(workers_of(text(&mut parser)?)?),
            Arg::Long("reload") => options.reload = true,
            Arg::Long("debug") => options.debug = true,
            Arg::Long("json") => options.json = true,
            Arg::Long("log") => log = Some(text(&mut parser).and_then(|text| Ok((log_of(&text)?, text)))?),
            Arg::Value(word) => words.push(word),
            Arg::Short(_) | Arg::Long(_) => {
                let typed = match argument {
                    Arg::Long(name) => format!("--{name}"),
                    Arg::Short(letter) => format!("-{letter}"),
                    Arg::Value(_) => String::new(),
                };
                match takes_value(&typed).filter(|_| words.first().is_some_and(|word| word == "run")) {
                    Some(true) => options.others.push((typed, Some(text(&mut parser)?))),
                    Some(false) => options.others.push((typed, None)),
                    None => return Err(said(argument.unexpected())),
                }
            }
        }
    }
    if words.first().is_some_and(|word| word == "cert") {
        if folder != FolderOrder::default() || certfile.is_some() || keyfile.is_some() || !allowed_hosts.is_empty() {
            return Err("cert takes names only; the options are for servers".to_owned());
        }
        if !domains.is_empty() {
            return Err("cert takes names without an option".to_owned());
        }
        return Ok(match certificate_task(words, storage)? {
            CertificateTask::Write(names) => Task::Certificate(names),
            CertificateTask::Managed(storage, action) => Task::Managed(storage, action),
        });
    }
    if words.first().is_some_and(|word| word == "status") {
        let others = ProgramOptions { json: false, ..options.clone() };
        if folder != FolderOrder::default() || others != ProgramOptions::default() || host.is_some() || port.is_some() {
            return Err("status takes the place of the server's metrics and --json only".to_owned());
        }
        words.remove(0);
        let place = one(words, "the place of the metrics")?.map(|place| place.to_string_lossy().into_owned());
        return Ok(Task::Status(StatusOrder { place, json: options.json }));
    }
    let tls = match (certfile, keyfile) {
        (Some(certfile), keyfile) => {
            let keyfile = keyfile.unwrap_or_else(|| certfile.clone());
            Some(CertificateFiles { certfile, keyfile })
        }
        (None, Some(_)) => return Err("--keyfile needs --certfile beside it".to_owned()),
        (None, None) => None,
    };
    let action = words.first().and_then(Action::of);
    let (usual_host, usual_port) = if domains.is_empty() { (HOST, PORT) } else { (PUBLIC_HOST, PUBLIC_PORT) };
    let place = place(host.clone().unwrap_or_else(|| usual_host.to_owned()), port, usual_port)?;
    if let Some(action) = action {
        if folder != FolderOrder::default() {
            return Err("run and routes take no options that are for folders".to_owned());
        }
        if options.json && action == Action::Run {
            return Err("--json is for outside routes".to_owned());
        }
        let (target, log) = (target(words)?, log.map(|(_, text)| text));
        let storage = storage.map(PathBuf::into_os_string);
        let program = Program { action, target, host, port, allowed_hosts, domains, storage, tls, log, options };
        return Ok(Task::Program(program));
    }
    if options != ProgramOptions::default() {
        if let Some((first, near)) = words.first().and_then(|first| Some((first, nearest_command(first)?))) {
            return Err(format!("there is no command {first:?}; did you mean {near}?"));
        }
        return Err("--workers, --reload and --debug are for programs: outside run app:server --reload".to_owned());
    }
    let log = log.map_or(AccessLog::Auto, |(log, _)| log);
    let what = match words.first() {
        Some(first) if first == "redirect" => What::Redirect(destination(words, &folder)?),
        Some(first)
            if words.len() > 1
                && let Some(near) = nearest_command(first) =>
        {
            return Err(format!("there is no command {first:?}; did you mean {near}?"));
        }
        _ => {
            folder.path = one(words, "a folder")?.map_or_else(|| ".".into(), PathBuf::from);
            What::Folder(folder)
        }
    };
    Ok(Task::Serve(Order { what, place, log, tls, allowed_hosts, domains, storage }))
}

fn place(host: String, port: Option<u16>, usual_port: u16) -> Result<Place, String> {
    match (host.starts_with("unix:"), port) {
        (false, port) => Ok(Place::Tcp { host, port: port.unwrap_or(usual_port) }),
        (true, None) if host.len() > "unix:".len() => Ok(Place::Unix(host)),
        (true, None) => Err("--host unix:PATH lacks the path".to_owned()),
        (true, Some(_)) => Err("a Unix socket has no port: --port and --host unix:PATH exclude each other".to_owned()),
    }
}

/// The URL behind the word `redirect`; options for folders may not stand beside it.
fn destination(mut words: Vec<OsString>, folder: &FolderOrder) -> Result<String, String> {
    if *folder != FolderOrder::default() {
        return Err(
            "redirect takes --host, --port, --allowed-host, --certfile, --keyfile and --log only; the other options are for folders"
                .into(),
        );
    }
    words.remove(0);
    match one(words, "a URL")? {
        Some(url) => url.into_string().map_err(|url| format!("{url:?} is no URL")),
        None => Err("redirect lacks its URL; a folder of that name is ./redirect".to_owned()),
    }
}

fn text(parser: &mut Parser) -> Result<String, String> {
    parser.value().and_then(|value| value.string()).map_err(said)
}

fn port_of(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("--port is a number from 0 to 65535, not {text:?}"))
}

fn pattern_of(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((pattern, value)) if !pattern.is_empty() && value.chars().all(|letter| (' '..='~').contains(&letter)) => {
            Ok((pattern.to_owned(), value.to_owned()))
        }
        _ => Err(format!("--cache-control is PATTERN=VALUE, such as '*.woff2=max-age=86400', not {text:?}")),
    }
}

fn log_of(text: &str) -> Result<AccessLog, String> {
    match text {
        "auto" => Ok(AccessLog::Auto),
        "off" => Ok(AccessLog::Off),
        "common" => Ok(AccessLog::Common),
        "combined" => Ok(AccessLog::Combined),
        "json" => Ok(AccessLog::Json),
        _ => Err(format!("--log is auto, off, common, combined or json, not {text:?}")),
    }
}

fn said(error: Unreadable) -> String {
    match error {
        Unreadable::UnexpectedOption(option) => match nearest(&option) {
            Some(near) => format!("there is no option {option:?}; did you mean {near}?"),
            None => format!("there is no option {option:?}"),
        },
        Unreadable::UnexpectedValue { option, value } => format!("{option} takes no value, but has {value:?}"),
        Unreadable::MissingValue { option: Some(option) } => format!("{option} lacks its value"),
        other => other.to_string(),
    }
}

/// The command that the user probably meant by this word.
pub(crate) fn nearest_command(word: &OsStr) -> Option<&'static str> {
    let word = word.to_str()?;
    COMMANDS.iter().copied().find(|command| strsim::damerau_levenshtein(word, command) == 1)
}

fn nearest(option: &str) -> Option<&'static str> {
    let scored = OPTIONS.iter().map(|&name| (strsim::jaro_winkler(option, name), name));
    // The two dashes that all options share do not make them alike.
    let likely = scored.filter(|(score, _)| *score > 0.75 && option.len() > 3);
    likely.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
