//! The command line: words become an order, or an error message. No file is read here, and no socket opened.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use lexopt::{Arg, Error as Unreadable, Parser, ValueExt as _};
use outside::{AccessLog, CertificateFiles};

use crate::peers::takes_value;
use crate::program::{Action, Program, ProgramOptions, one, target, workers_of};

/// The task of the command.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    Help,
    Version,
    Serve(Order),
    /// A certificate for development, for these names.
    Certificate(Vec<String>),
    Program(Program),
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
const PORT: u16 = 8080;
const HOST: &str = "127.0.0.1";

const COMMANDS: &[&str] = &["redirect", "run", "routes", "cert"];
const OPTIONS: &[&str] = &[
    "--host",
    "--port",
    "--allowed-host",
    "--certfile",
    "--keyfile",
    "--listing",
    "--spa",
    "--cache-control",
    "--no-compression",
    "--workers",
    "--reload",
    "--debug",
    "--log",
    "--help",
    "--version",
];

/// Reads the arguments; the first is the program's own name.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, String> {
    let mut parser = Parser::from_iter(arguments);
    let (mut words, mut host, mut port, mut log) = (Vec::new(), None, None, None);
    let mut allowed_hosts = Vec::new();
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
        return Ok(Task::Certificate(certificate_names(words)?));
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
    let place = place(host.clone().unwrap_or_else(|| HOST.to_owned()), port)?;
    if let Some(action) = action {
        if folder != FolderOrder::default() {
            return Err("run and routes take no options that are for folders".to_owned());
        }
        let (target, log) = (target(action, words)?, log.map(|(_, text)| text));
        return Ok(Task::Program(Program { action, target, host, port, allowed_hosts, tls, log, options }));
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
    Ok(Task::Serve(Order { what, place, log, tls, allowed_hosts }))
}

fn place(host: String, port: Option<u16>) -> Result<Place, String> {
    match (host.starts_with("unix:"), port) {
        (false, port) => Ok(Place::Tcp { host, port: port.unwrap_or(PORT) }),
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

/// The words behind `cert`.
fn certificate_names(words: Vec<OsString>) -> Result<Vec<String>, String> {
    let names = words.into_iter().skip(1).map(|word| word.into_string().map_err(|word| format!("{word:?} is no name")));
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    if names.is_empty() {
        Err("cert lacks its names, such as localhost; a folder of that name is ./cert".to_owned())
    } else {
        Ok(names)
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
mod tests {
    use super::*;

    fn given(line: &str) -> Result<Task, String> {
        read(std::iter::once("outside").chain(line.split_whitespace()).map(OsString::from))
    }

    fn order(line: &str) -> Order {
        match given(line) {
            Ok(Task::Serve(order)) => order,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn folder(line: &str) -> FolderOrder {
        match order(line).what {
            What::Folder(folder) => folder,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn nothing_typed_is_this_folder_for_this_machine() {
        let what = What::Folder(FolderOrder { path: ".".into(), ..FolderOrder::default() });
        let place = Place::Tcp { host: "127.0.0.1".into(), port: 8080 };
        assert_eq!(order(""), Order { what, place, log: AccessLog::Auto, tls: None, allowed_hosts: Vec::new() });
    }

    #[test]
    fn options_stand_anywhere() {
        for line in ["-l -p 1 public", "public --port=1 --listing", "--listing public -p1", "-lp1 -- public"] {
            let Order { what, place, .. } = order(line);
            let wanted = FolderOrder { path: "public".into(), listing: true, ..FolderOrder::default() };
            assert_eq!(what, What::Folder(wanted), "{line}");
            assert_eq!(place, Place::Tcp { host: HOST.into(), port: 1 }, "{line}");
        }
        assert_eq!(folder("-- --host").path, PathBuf::from("--host"));
    }

    #[test]
    fn values_of_options() {
        assert_eq!(
            folder("--spa dist"),
            FolderOrder { spa: Some("index.html".into()), path: "dist".into(), ..FolderOrder::default() }
        );
        assert_eq!(folder("--spa=app.html").spa.as_deref(), Some("app.html"));
        assert_eq!(
            folder("--cache-control *.js=no-cache --cache-control *=max-age=60").cache_control,
            [("*.js".into(), "no-cache".into()), ("*".into(), "max-age=60".into())]
        );
        assert!(folder("--no-compression").no_compression);
        assert_eq!(order("--host unix:a.sock").place, Place::Unix("unix:a.sock".into()));
        assert_eq!(order("--host ::1 -p 0").place, Place::Tcp { host: "::1".into(), port: 0 });
        assert_eq!(order("--log json").log, AccessLog::Json);
        assert_eq!(order("--allowed-host a.example --allowed-host=*.b").allowed_hosts, ["a.example", "*.b"]);
        assert_eq!(order("redirect https://example.com").what, What::Redirect("https://example.com".into()));
        let files =
            |certfile: &str, keyfile: &str| CertificateFiles { certfile: certfile.into(), keyfile: keyfile.into() };
        assert_eq!(order("--certfile a.pem --keyfile=a.key .").tls, Some(files("a.pem", "a.key")));
        assert_eq!(order("redirect https://example.com --certfile a.pem").tls, Some(files("a.pem", "a.pem")));
        assert_eq!(
            given("cert localhost a.example"),
            Ok(Task::Certificate(vec!["localhost".into(), "a.example".into()]))
        );
        assert_eq!(folder("./redirect").path, PathBuf::from("./redirect"));
        assert_eq!(given("--port 5 --help nonsense"), Ok(Task::Help));
        assert_eq!(given("-V"), Ok(Task::Version));
    }

    #[test]
    fn programs() {
        let plain = Program {
            action: Action::Run,
            target: "app:server".into(),
            host: None,
            port: None,
            allowed_hosts: Vec::new(),
            tls: None,
            log: None,
            options: ProgramOptions::default(),
        };
        assert_eq!(given("run app:server"), Ok(Task::Program(plain.clone())));
        let options = ProgramOptions { workers: Some("auto".into()), reload: true, debug: true, others: Vec::new() };
        let host = Some("::".into());
        assert_eq!(
            given("run -p 80 app:server --host :: --workers auto --reload --debug --log off"),
            Ok(Task::Program(Program { host, port: Some(80), log: Some("off".into()), options, ..plain.clone() }))
        );
        assert_eq!(given("routes app:server"), Ok(Task::Program(Program { action: Action::Routes, ..plain })));
        assert_eq!(folder("./run").path, PathBuf::from("./run"));
    }

    #[test]
    fn options_of_other_servers_are_handed_on() {
        let Ok(Task::Program(program)) = given("run app:make --factory -k gthread --threads=8 -w 2") else {
            panic!("no program")
        };
        let given = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let others = [given("--factory", None), given("-k", Some("gthread")), given("--threads", Some("8"))];
        assert_eq!((program.options.others.as_slice(), program.options.workers.as_deref()), (&others[..], Some("2")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, parts) in [
            ("--prot 5", &["\"--prot\"", "did you mean --port?"][..]),
            ("--list", &["did you mean --listing?"]),
            ("--compression", &["did you mean --no-compression?"]),
            ("--zzz", &["there is no option \"--zzz\""]),
            ("-x", &["there is no option \"-x\""]),
            ("--port", &["--port lacks its value"]),
            ("--port http", &["0 to 65535", "\"http\""]),
            ("--port 65536", &["0 to 65535"]),
            ("--port=-1", &["0 to 65535"]),
            ("--listing=yes", &["--listing takes no value", "yes"]),
            ("--log xml", &["auto, off, common, combined or json", "\"xml\""]),
            ("--cache-control no-cache", &["PATTERN=VALUE", "\"no-cache\""]),
            ("--cache-control =no-cache", &["PATTERN=VALUE"]),
            ("--cache-control *=\u{7}", &["PATTERN=VALUE", "\\u{7}"]),
            ("--host unix:", &["lacks the path"]),
            ("--host unix:a --port 5", &["exclude each other"]),
            ("a b", &["one argument too many", "\"b\""]),
            ("redirect", &["lacks its URL", "./redirect"]),
            ("redirect https://a https://b", &["one argument too many"]),
            ("redirect https://a --listing", &["--host, --port, --allowed-host, --certfile, --keyfile and --log only"]),
            ("--keyfile a.key", &["--keyfile needs --certfile"]),
            ("cert localhost --listing", &["cert takes names only"]),
            ("cert", &["cert lacks its names", "./cert"]),
            ("redirect https://a --listing", &["--keyfile and --log only"]),
            ("run", &["run lacks the server", "app:server", "./run"]),
            ("routes", &["routes lacks the server"]),
            ("run a:b c", &["one argument too many"]),
            ("run a:b --listing", &["for folders"]),
            ("run a:b --workers many", &["1 to 1024", "auto", "\"many\""]),
            ("run a:b --workers 0", &["1 to 1024"]),
            ("run a:b --host unix:", &["lacks the path"]),
            ("run a:b --relaod", &["did you mean --reload?"]),
            ("--reload", &["outside run app:server --reload"]),
            ("rnu app:server", &["there is no command \"rnu\"", "did you mean run?"]),
            ("rnu app:server --reload", &["did you mean run?"]),
            ("-p 80 public app:server", &["one argument too many"]),
            ("rotues app:server", &["did you mean routes?"]),
            ("redirct https://a", &["did you mean redirect?"]),
            ("cret localhost", &["did you mean cert?"]),
        ] {
            let fault = given(line).expect_err(line);
            for part in parts {
                assert!(fault.contains(part), "{line}: {part:?} is not in {fault:?}");
            }
        }
    }

    #[test]
    fn the_help_explains_every_option() {
        let help = include_str!("help.txt");
        for option in OPTIONS {
            assert!(help.contains(&format!("{option} ")) || help.contains(&format!("{option}[")), "{option}");
        }
        assert!(help.lines().all(|line| line.len() <= 100), "a line is too long for a terminal");
    }
}
