//! Pages about errors: for this machine's own user alone.

use outside::config::AccessLog;
use outside::message::Cors;
use outside::test::{TestClient, TestResponse};
use outside::{Error, OutsideHttp, Request};

use super::{get, server};

const BROWSER: (&str, &str) = ("Accept", "text/html");

fn failing(is_debug: bool) -> OutsideHttp {
    let mut server = server();
    server.config.debug = is_debug;
    server.config.access_log = AccessLog::Off;
    server
        .get("/read", |_: &Request| -> Result<String, Error> {
            std::fs::read_to_string("/no/such/<file>")
                .map_err(|error| Error::with_source("the <notes> cannot be read", error))
        })
        .unwrap();
    server.get("/panic", |_: &Request| -> &'static str { panic!("a <fault> of the program") }).unwrap();
    server.get("/teapot", |_: &Request| (418, "short and stout")).unwrap();
    server.set_errorhandler(500, |_: Option<&Request>, _: Option<&str>| ("the usual page", 500)).unwrap();
    server
}

fn browse(client: &TestClient, target: &str, (name, value): (&str, &str)) -> TestResponse {
    client.get(target).header(BROWSER.0, BROWSER.1).header(name, value).send().unwrap()
}

#[test]
fn the_page_shows_causes_frames_and_the_request() {
    let server = failing(true);
    let client = server.test_client().unwrap();
    let entered = get(&client, &format!("{}&to=/read", server.debug_path().unwrap()));
    assert_eq!((entered.status(), entered.headers().get("Location")), (303, Some("/read")));
    let field = entered.headers().get("Set-Cookie").unwrap();
    assert!(field.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{field}");
    let page = browse(&client, "/read", ("X-Token", "hidden-value"));
    assert_eq!((page.status(), page.headers().get("Content-Type")), (500, Some("text/html; charset=utf-8")));
    let text = page.text();
    for part in [
        "the &lt;notes&gt; cannot be read",
        "No such file or directory",
        "tests/application/debugging.rs",
        "hidden because of its name",
        "class=here",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for part in ["<notes>", "hidden-value", &server.debug_path().unwrap()] {
        assert!(!text.contains(part), "{part} in {text}");
    }
    let panicked = browse(&client, "/panic", ("X-Nothing", "1")).text();
    assert!(panicked.contains("a &lt;fault&gt; of the program") && panicked.contains("debugging.rs"), "{panicked}");
    let plain = get(&client, "/read");
    assert_eq!(plain.headers().get("Content-Type"), Some("text/plain; charset=utf-8"));
    assert!(plain.text().starts_with("the <notes> cannot be read\ncaused by: No such file"), "{}", plain.text());
    assert_eq!(get(&client, "/teapot").status(), 418);
}

#[test]
fn it_is_shown_to_this_machine_and_with_the_token_alone() {
    let mut server = failing(true);
    server.config.cors = Some(Cors::new(["*"]).unwrap());
    let client = server.test_client().unwrap();
    let is_shown = |answer: &TestResponse| answer.text().contains("No such file");
    let locked = browse(&client, "/read", ("X-Nothing", "1"));
    assert!(!is_shown(&locked) && locked.text().contains("type=password"), "{}", locked.text());
    assert_eq!(get(&client, "/read").text(), "the usual page");
    for wrong in ["/.outside/debug", "/.outside/debug?token=", "/.outside/debug?token=0123"] {
        let refused = get(&client, wrong);
        assert_eq!((refused.status(), refused.headers().get("Set-Cookie")), (403, None));
    }
    let elsewhere = get(&client, &format!("{}&to=//evil.example", server.debug_path().unwrap()));
    assert_eq!(elsewhere.headers().get("Location"), Some("/"));
    assert!(is_shown(&browse(&client, "/read", ("X-Nothing", "1"))));
    for field in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://evil.example"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Real-IP", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1"),
        ("Via", "1.1 proxy"),
    ] {
        let answer = browse(&client, "/read", field);
        assert_eq!((is_shown(&answer), answer.text()), (false, "the usual page".into()), "{field:?}");
    }
    let own = browse(&client, "/read", ("Origin", "http://localhost"));
    assert!(is_shown(&own));
    assert_eq!(own.headers().get("Access-Control-Allow-Origin"), None, "for no other origin, whatever cors says");
    assert_eq!(own.headers().get("Cross-Origin-Resource-Policy"), Some("same-origin"));
}

#[test]
fn without_debug_there_is_none_of_it() {
    let server = failing(false);
    let client = server.test_client().unwrap();
    assert_eq!(server.debug_path(), None);
    assert_eq!(get(&client, "/.outside/debug").status(), 404);
    assert_eq!(browse(&client, "/read", ("X-Nothing", "1")).text(), "the usual page");
}
