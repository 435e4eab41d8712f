//! Functions before and after handlers, and the handlers of errors.

use std::fmt;
use std::sync::{Arc, Mutex};

use outside::handler::{asynchronous, blocking};
use outside::input::State;
use outside::{Error, FilePath, OutsideHttp, Request, Response, WebSocket};

use super::{get, server, told};

/// A server with every kind of handler.
fn all_kinds() -> OutsideHttp {
    let server = server();
    server.get("/plain", |_: &Request| "plain").unwrap();
    server.get("/blocking", blocking(|_: &Request| "blocking")).unwrap();
    server.get("/async", asynchronous(|_: Arc<Request>| async { "async" })).unwrap();
    server.get("/stream", |_: &Request| Response::stream(["str", "eam"])).unwrap();
    server.set_route("/file", FilePath("Cargo.toml")).unwrap();
    server.set_route("/ws", WebSocket::new()).unwrap();
    server
}

const KINDS: [(&str, u16); 7] = [
    ("/plain", 200),
    ("/blocking", 200),
    ("/async", 200),
    ("/stream", 200),
    ("/file", 200),
    ("/ws", 426),
    ("/none", 404),
];

#[test]
fn functions_before_see_every_request_once_in_order() {
    let server = all_kinds();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for name in ["a", "b"] {
        let seen = Arc::clone(&seen);
        server.before_request(move |request: &Request| seen.lock().unwrap().push(format!("{name}{}", request.path())));
    }
    let client = server.test_client().unwrap();
    for (path, status) in KINDS {
        assert_eq!(get(&client, path).status(), status, "{path}");
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), [format!("a{path}"), format!("b{path}")]);
    }
    assert_eq!(client.post("/plain").send().unwrap().status(), 405);
    assert_eq!(seen.lock().unwrap().len(), 2, "405 too");
}

#[test]
fn a_function_before_answers_in_place_of_the_handler() {
    let server = all_kinds();
    server.before_request(|request: &Request| -> Result<Option<Response>, Error> {
        match request.param("as").as_deref() {
            None => Ok(None),
            Some("page") => Ok(Some(Response::redirect("/sign-in", 303))),
            Some("status") => Err(Error::status(401, Some("sign in"))),
            Some(_) => panic!("this function panics"),
        }
    });
    server
        .set_errorhandler(401, |_: Option<&Request>, message: Option<&str>| {
            (format!("please {}", message.unwrap()), 401)
        })
        .unwrap();
    let client = server.test_client().unwrap();
    for (path, status) in KINDS {
        assert_eq!(get(&client, path).status(), status, "{path}");
        let redirected = get(&client, &format!("{path}?as=page"));
        assert_eq!((redirected.status(), redirected.headers().get("Location")), (303, Some("/sign-in")), "{path}");
        assert_eq!(told(&get(&client, &format!("{path}?as=status"))), (401, "please sign in".into()), "{path}");
        assert_eq!(get(&client, &format!("{path}?as=panic")).status(), 500, "{path}");
    }
}

#[test]
fn functions_after_change_every_answer_the_last_one_first() {
    let server = all_kinds();
    for name in ["outer", "inner"] {
        server.after_request(move |_: &Request, response: &mut Response| response.headers_mut().append("X-Seen", name));
    }
    server.after_request(|request: &Request, response: &mut Response| {
        (request.param("whole").is_some()).then(|| Response::text("another").with_status(response.status()))
    });
    let client = server.test_client().unwrap();
    for (path, status) in KINDS {
        let answer = get(&client, path);
        let seen: Vec<_> = answer.headers().get_all("X-Seen").map(String::from_utf8_lossy).collect();
        assert_eq!((answer.status(), seen), (status, vec!["inner".into(), "outer".into()]), "{path}");
    }
    assert_eq!(get(&client, "/plain?whole").text(), "another");
}

#[test]
fn values_for_the_handler_stand_in_the_state_of_the_request() {
    struct User(&'static str);
    let server = server();
    server.before_request(|request: &Request| request.set_state(User("ada")));
    server.get("/", |_: &Request, State(user): State<User>| user.0).unwrap();
    server
        .get("/async", asynchronous(|request: Arc<Request>| async move { request.state::<User>().unwrap().0 }))
        .unwrap();
    server.after_request(|request: &Request, response: &mut Response| {
        response.headers_mut().set("X-User", request.state::<User>().unwrap().0)
    });
    let client = server.test_client().unwrap();
    for path in ["/", "/async"] {
        let answer = get(&client, path);
        assert_eq!((answer.text(), answer.headers().get("X-User")), ("ada".into(), Some("ada")), "{path}");
    }
}

#[derive(Debug)]
struct NoNote(u64);

impl fmt::Display for NoNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no note {}", self.0)
    }
}

impl std::error::Error for NoNote {}

#[test]
fn the_nearest_handler_of_an_error_answers() {
    let server = server();
    server.get("/typed", |_: &Request| Err::<(), _>(NoNote(7))).unwrap();
    server.get("/other", |_: &Request| Err::<(), _>(Error::new("a secret of the server"))).unwrap();
    server.get("/coded", |_: &Request| (409, "edited meanwhile")).unwrap();
    server.get("/teapot", |_: &Request| (418, "short and stout")).unwrap();
    server.get("/body", |_: &Request| ("a body with a status", 410)).unwrap();
    server.get("/panic", |_: &Request| -> &'static str { panic!("this handler panics") }).unwrap();
    server.catch(|_: &Request, error: &NoNote| (error.to_string(), 404));
    server.catch_all(|request: &Request, error: &Error| match error.code() {
        418 => Err(Error::status(418, None)),
        code => Ok(format!("{code} of {}: {}", request.path(), error.public_message().unwrap_or("nothing to say"))),
    });
    server
        .set_errorhandler(409, |_: Option<&Request>, message: Option<&str>| {
            (format!("409 alone: {}", message.unwrap()), 409)
        })
        .unwrap();
    let client = server.test_client().unwrap();
    for (path, expected) in [
        ("/typed", (404, "there is no note 7")),
        ("/other", (500, "500 of /other: nothing to say")),
        ("/coded", (409, "409 alone: edited meanwhile")),
        ("/teapot", (418, "418 I'm a teapot: short and stout\n")),
        ("/body", (410, "a body with a status")),
        ("/panic", (500, "500 of /panic: nothing to say")),
        ("/nothing", (404, "404 of /nothing: nothing to say")),
    ] {
        assert_eq!(told(&get(&client, path)), (expected.0, expected.1.to_owned()), "{path}");
    }
    let refused = client.post("/typed").send().unwrap();
    assert_eq!((refused.status(), refused.headers().get("Allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(refused.text(), "405 of /typed: nothing to say");
}
