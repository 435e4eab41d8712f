//! Command lines and their meaning.

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
    assert_eq!(
        order(""),
        Order {
            what,
            place,
            log: AccessLog::Auto,
            tls: None,
            allowed_hosts: Vec::new(),
            domains: Vec::new(),
            storage: None
        }
    );
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
    let files = |certfile: &str, keyfile: &str| CertificateFiles { certfile: certfile.into(), keyfile: keyfile.into() };
    assert_eq!(order("--certfile a.pem --keyfile=a.key .").tls, Some(files("a.pem", "a.key")));
    assert_eq!(order("redirect https://example.com --certfile a.pem").tls, Some(files("a.pem", "a.pem")));
    assert_eq!(given("cert localhost a.example"), Ok(Task::Certificate(vec!["localhost".into(), "a.example".into()])));
    assert_eq!(folder("./redirect").path, PathBuf::from("./redirect"));
    assert_eq!(given("--port 5 --help nonsense"), Ok(Task::Help));
    assert_eq!(given("-V"), Ok(Task::Version));
}

#[test]
fn certificates_of_servers() {
    let order = order("--domain a.dev --domain b.dev+c.dev --acme-storage s dist");
    assert_eq!(order.place, Place::Tcp { host: "::".into(), port: 443 });
    assert_eq!((order.domains, order.storage), (vec!["a.dev".into(), "b.dev+c.dev".into()], Some("s".into())));
    let status = Task::Managed(None, ManagedAction::Status);
    assert_eq!(given("cert status"), Ok(status));
    let renew = Task::Managed(Some("s".into()), ManagedAction::Renew(vec!["a.dev".into()]));
    assert_eq!(given("cert renew a.dev --acme-storage s"), Ok(renew));
    for line in ["cert status a.dev", "cert --domain a.dev", "cert a.dev --acme-storage s", "--domain https://a.dev"] {
        assert!(given(line).is_err(), "{line}");
    }
}

#[test]
fn programs() {
    let plain = Program {
        action: Action::Run,
        target: "app:server".into(),
        host: None,
        port: None,
        allowed_hosts: Vec::new(),
        domains: Vec::new(),
        storage: None,
        tls: None,
        log: None,
        options: ProgramOptions::default(),
    };
    assert_eq!(given("run app:server"), Ok(Task::Program(plain.clone())));
    let workers = Some("auto".into());
    let options = ProgramOptions { workers, reload: true, debug: true, ..ProgramOptions::default() };
    let host = Some("::".into());
    assert_eq!(
        given("run -p 80 app:server --host :: --workers auto --reload --debug --log off"),
        Ok(Task::Program(Program { host, port: Some(80), log: Some("off".into()), options, ..plain.clone() }))
    );
    assert_eq!(given("routes app:server"), Ok(Task::Program(Program { action: Action::Routes, ..plain })));
    let Ok(Task::Program(alone)) = given("routes --json") else { panic!("routes without a server") };
    assert!(alone.target.is_empty() && alone.options.json);
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
fn faults_of_the_command_line_are_told() {
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
        ("run --json", &["--json is for outside routes"]),
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
    let help = include_str!("../help.txt");
    for option in OPTIONS {
        assert!(help.contains(&format!("{option} ")) || help.contains(&format!("{option}[")), "{option}");
    }
    assert!(help.lines().all(|line| line.len() <= 100), "a line is too long for a terminal");
}
