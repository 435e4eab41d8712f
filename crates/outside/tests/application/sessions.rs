//! Sessions in signed cookies, and forged requests.

use std::sync::Arc;

use outside::handler::asynchronous;
use outside::test::TestClient;
use outside::{Error, FilePath, OutsideHttp, Request, Response};

use super::{get, server, told};

const OLD: &str = "the old secret of at least thirty-two bytes";
const NEW: &str = "the new secret of at least thirty-two bytes";

fn with_session<const N: usize>(secrets: [&str; N]) -> OutsideHttp {
    let mut server = server();
    server.config.secret = secrets.into();
    server
        .get("/set/{name}", |request: &Request| -> Result<&'static str, Error> {
            request.session()?.insert("user", request.parameters_as::<String>()?)?;
            Ok("set")
        })
        .unwrap();
    server.get("/get", user).unwrap();
    server.get("/later", asynchronous(|request: Arc<Request>| async move { user(&request) })).unwrap();
    server.post("/change", user).unwrap();
    server.get("/clear", |request: &Request| request.session().map(|session| session.clear())).unwrap();
    server.get("/plain", |_: &Request| "plain").unwrap();
    server.get("/large", |request: &Request| request.session()?.insert("picture", "x".repeat(4000))).unwrap();
    server
}

fn user(request: &Request) -> Result<String, Error> {
    Ok(request.session()?.get("user").unwrap_or_else(|| "nobody".to_owned()))
}

fn set_cookie(client: &TestClient, path: &str) -> Option<String> {
    get(client, path).headers().get("Set-Cookie").map(ToOwned::to_owned)
}

#[test]
fn a_session_is_written_when_it_changes() {
    let server = with_session([NEW]);
    let client = server.test_client().unwrap();
    let plain = get(&client, "/plain");
    assert_eq!((plain.headers().get("Vary"), plain.headers().get("Set-Cookie")), (None, None), "it was not looked at");
    let looked = get(&client, "/get");
    assert_eq!(
        (looked.text(), looked.headers().get("Vary"), looked.headers().get("Set-Cookie")),
        ("nobody".into(), Some("Cookie"), None)
    );
    let field = set_cookie(&client, "/set/ada").unwrap();
    let attributes = field.split_once(';').unwrap().1;
    assert_eq!(attributes, " Max-Age=1209600; Path=/; HttpOnly; SameSite=Lax");
    for path in ["/get", "/later"] {
        let answer = get(&client, path);
        assert_eq!((answer.text(), answer.headers().get("Set-Cookie")), ("ada".into(), None), "{path}");
    }
    assert_eq!(set_cookie(&client, "/set/ada"), None, "nothing has changed");
    assert!(set_cookie(&client, "/clear").unwrap().starts_with("session=; Max-Age=0; "));
    assert_eq!(get(&client, "/get").text(), "nobody");
}

#[test]
fn secrets_are_changed_without_a_sign_out() {
    let before = with_session([OLD]);
    let client = before.test_client().unwrap();
    get(&client, "/set/ada");
    let cookie = client.cookie("session").unwrap();
    let told = |server: &OutsideHttp, cookie: &str| {
        let client = server.test_client().unwrap();
        client.set_cookie("session", cookie);
        get(&client, "/get").text()
    };
    assert_eq!(told(&with_session([NEW, OLD]), &cookie), "ada");
    assert_eq!(told(&with_session([NEW]), &cookie), "nobody");
    let changed = cookie.replacen('e', "f", 1);
    assert_eq!(told(&with_session([OLD]), &changed), "nobody");
    assert_eq!(told(&with_session([OLD]), "a.b.c"), "nobody");
}

#[test]
fn a_session_is_written_with_every_kind_of_answer() {
    let server = with_session([NEW]);
    server.before_request(|request: &Request| {
        let session = request.session()?;
        session.insert("visits", session.get::<u32>("visits").unwrap_or(0) + 1)
    });
    server.set_route("/file", FilePath("Cargo.toml")).unwrap();
    server.get("/stream", |_: &Request| Response::stream(["a", "b"])).unwrap();
    server.get("/fails", |_: &Request| Err::<(), _>(Error::new("it fails"))).unwrap();
    let client = server.test_client().unwrap();
    for (path, status) in
        [("/plain", 200), ("/later", 200), ("/file", 200), ("/stream", 200), ("/none", 404), ("/fails", 500)]
    {
        let answer = get(&client, path);
        let is_written = answer.headers().get("Set-Cookie").is_some_and(|field| field.starts_with("session="));
        assert_eq!((answer.status(), is_written), (status, true), "{path}");
    }
}

#[test]
fn misuse_is_a_sentence() {
    let bare = server();
    bare.catch_all(|_: &Request, error: &Error| error.chain().join(": "));
    bare.get("/", user).unwrap();
    let text = get(&bare.test_client().unwrap(), "/").text();
    assert_eq!(
        text,
        "request.session() needs config.secret, which signs it; `openssl rand -base64 33` makes one, and server.config.secret takes it"
    );

    let mut short = server();
    short.config.secret = "eight by".into();
    let text = short.test_client().unwrap_err().to_string();
    assert_eq!(text, "config.secret is a text of 8 bytes; allowed: at least 32 bytes");

    let server = with_session([NEW]);
    let client = server.test_client().unwrap();
    assert_eq!(get(&client, "/large").status(), 500);
    assert_eq!(client.cookie("session"), None);
}

#[test]
fn requests_of_other_sites_that_carry_a_session_are_refused() {
    let server = with_session([NEW]);
    let client = server.test_client().unwrap();
    let refused = (403, "403 Forbidden: this request does not come from a page of this site\n".to_owned());
    let change = |name: &str, value: &str| told(&client.post("/change").header(name, value).send().unwrap());
    assert_eq!(change("Sec-Fetch-Site", "cross-site").0, 200, "it carries no session");
    get(&client, "/set/ada");
    for (name, value, is_accepted) in [
        ("Sec-Fetch-Site", "same-origin", true),
        ("Sec-Fetch-Site", "none", true),
        ("Sec-Fetch-Site", "same-site", false),
        ("Sec-Fetch-Site", "cross-site", false),
        ("Origin", "http://localhost", true),
        ("Origin", "http://localhost:80", true),
        ("Origin", "https://localhost", false),
        ("Origin", "http://localhost.evil.example", false),
        ("Origin", "null", false),
        ("X-Nothing", "no browser", true),
    ] {
        let expected = if is_accepted { (200, "ada".to_owned()) } else { refused.clone() };
        assert_eq!(change(name, value), expected, "{name}: {value}");
    }
    let read = client.get("/get").header("Sec-Fetch-Site", "cross-site").send().unwrap();
    assert_eq!(read.status(), 200, "reading changes nothing");
}

#[test]
fn the_cookie_of_the_python_face_is_read() {
    let mut server = with_session([OLD]);
    // The cookie was made in 2023, by outside._application.session.Signer(OLD, 1).sign("session", b'{"user":"ada"}', 1_700_000_000).
    server.config.session_life = std::time::Duration::from_secs(100 * 365 * 86_400);
    let client = server.test_client().unwrap();
    client.set_cookie("session", "eyJ1c2VyIjoiYWRhIn0.6553f100.ENn7mhWSG-mpjmkKeQMBt1BAP2_hnSWCjxgLcjG79Ms");
    assert_eq!(get(&client, "/get").text(), "ada");
}
