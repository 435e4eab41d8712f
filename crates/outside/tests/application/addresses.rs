//! Addresses of the program's own routes.

use outside::handler::{blocking, named};
use outside::{Error, FilePath, OutsideHttp, Request};

use super::{get, server, told};

fn routes() -> OutsideHttp {
    let server = server();
    server.get("/", |_: &Request| "start").unwrap();
    server.get("/issues/{id:int}", named("issue", |request: &Request| request.path().to_owned())).unwrap();
    server.post("/issues/{id:int}", named("issue", |_: &Request| "changed")).unwrap();
    server
        .get("/@/{user}/files/<path:rest>", named("file", blocking(|request: &Request| request.path().to_owned())))
        .unwrap();
    server.get("/é/{u:uuid}/{f:float}/", named("odd", |request: &Request| request.path().to_owned())).unwrap();
    server.set_route("/static", named("static", FilePath("src"))).unwrap();
    server
}

#[test]
fn an_address_leads_back_to_its_route() {
    let server = routes();
    let client = server.test_client().unwrap();
    let uuid = "0189dcd5-5311-7d40-8db0-9496a2eef37b";
    for (made, expected) in [
        (server.url_for("issue", &[("id", &7)]), "/issues/7"),
        (server.url_for("/issues/{id:int}", &[("id", &"8")]), "/issues/8"),
        (server.url_for("file", &[("user", &"ada l"), ("rest", &"a/b c?.txt")]), "/@/ada%20l/files/a/b%20c%3F.txt"),
        (server.url_for("odd", &[("u", &uuid), ("f", &1.5)]), "/%C3%A9/0189dcd5-5311-7d40-8db0-9496a2eef37b/1.5/"),
        (server.url_for("issue", &[("q", &"a&b"), ("id", &7), ("page", &2)]), "/issues/7?q=a%26b&page=2"),
        (server.url_for("/", &[]), "/"),
        (server.url_for("static", &[]), "/static"),
    ] {
        let made = made.unwrap();
        assert_eq!(made, expected);
        if made != "/static" {
            assert_eq!(get(&client, &made).status(), 200, "{made}");
        }
    }
}

#[test]
fn what_leads_nowhere_is_refused() {
    let server = routes();
    for (made, expected) in [
        (
            server.url_for("isue", &[]),
            "url_for(\"isue\"): no route has this name; did you mean \"issue\"?; there are file, issue, odd, static",
        ),
        (
            server.url_for("issue", &[("ident", &7)]),
            "url_for(\"issue\") lacks \"id\": the route is \"/issues/{id:int}\"",
        ),
        (
            server.url_for("issue", &[("id", &-7)]),
            "url_for: id=\"-7\" does not fit the route \"/issues/{id:int}\", where it is of the kind \"int\"",
        ),
        (
            server.url_for("file", &[("user", &"a/b"), ("rest", &"x")]),
            "url_for: user=\"a/b\" does not fit the route \"/@/{user}/files/<path:rest>\", where it is of the kind \"str\"",
        ),
        (
            server.url_for("file", &[("user", &".."), ("rest", &"x")]),
            "url_for: user=\"..\" does not fit the route \"/@/{user}/files/<path:rest>\", where it is of the kind \"str\"",
        ),
        (
            server.url_for("file", &[("user", &"a"), ("rest", &"x/../y")]),
            "url_for: rest=\"x/../y\" does not fit the route \"/@/{user}/files/<path:rest>\", where it is of the kind \"path\"",
        ),
        (server.url_for("/nothing", &[]), "url_for(\"/nothing\"): no route has this name; there are "),
    ] {
        let text = made.unwrap_err().to_string();
        assert!(text.starts_with(expected), "{text}");
    }
    let twice = server.get("/other", named("issue", |_: &Request| "another")).unwrap_err().to_string();
    assert_eq!(twice, "two routes have the name \"issue\": \"/issues/{id:int}\" and \"/other\"");
}

#[test]
fn handlers_make_addresses_of_their_server() {
    let server = routes();
    server
        .get("/link", |request: &Request| -> Result<String, Error> { request.full_url_for("issue", &[("id", &7)]) })
        .unwrap();
    let client = server.test_client().unwrap();
    assert_eq!(told(&get(&client, "/link")), (200, "http://localhost/issues/7".into()));
    assert!(Request::default().url_for("issue", &[]).is_err(), "a request that was made by hand has no server");
}
