//! Requests as values of the program's own types.

use std::collections::BTreeMap;

use outside::input::{FormFields, FromRequest, Input, Json, Path, Query, State};
use outside::{Error, OutsideHttp, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{get, server, told};

#[derive(Debug, Serialize, Deserialize)]
struct Issue {
    title: String,
    #[serde(default)]
    labels: Vec<String>,
    priority: Option<u8>,
    #[serde(default)]
    is_open: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Newest,
    Oldest,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "its fields are compared as text")]
struct Search {
    q: String,
    page: Option<u32>,
    #[serde(default)]
    tag: Vec<String>,
    order: Option<Order>,
    weight: Option<f64>,
}

type AnyQuery = BTreeMap<String, String>;

fn issues() -> OutsideHttp {
    let server = server();
    server.post("/issues", |_: &Request, Json(issue): Json<Issue>| (Json(issue), 201)).unwrap();
    server.put("/issues", |_: &Request, Input(issue): Input<Issue>| Json(issue)).unwrap();
    server.post("/form", |_: &Request, FormFields(issue): FormFields<Issue>| Json(issue)).unwrap();
    server.get("/search", |_: &Request, Query(search): Query<Search>| format!("{search:?}")).unwrap();
    server.get("/issues/{id:int}", |_: &Request, Path(id): Path<u16>| format!("issue {id}")).unwrap();
    server
        .get(
            "/{user}/issues/{id:int}",
            |_: &Request, (Path((user, id)), Query(all)): (Path<(String, u32)>, Query<AnyQuery>)| {
                format!("{user} {id} {all:?}")
            },
        )
        .unwrap();
    server
}

/// The fault of an answer of 422: the part, the path, and the sentence.
fn fault(response: &outside::test::TestResponse) -> (Value, Value, String) {
    assert_eq!(response.status(), 422, "{}", response.text());
    assert_eq!(response.headers().get("Content-Type"), Some("application/problem+json"));
    let problem = response.json().unwrap();
    assert_eq!((&problem["status"], &problem["title"]), (&json!(422), &json!("Unprocessable Content")));
    let first = &problem["errors"][0];
    (first["in"].clone(), first["at"].clone(), first["message"].as_str().unwrap().to_owned())
}

#[test]
fn json_becomes_a_value_or_a_problem_with_its_path() {
    let server = issues();
    let client = server.test_client().unwrap();
    let send = |content: Value| client.post("/issues").json(&content).send().unwrap();
    assert_eq!(
        told(&send(json!({ "title": "Rain", "labels": ["sky"], "priority": 3 }))),
        (201, r#"{"title":"Rain","labels":["sky"],"priority":3,"is_open":false}"#.into())
    );
    for (content, at, message) in [
        (json!({}), json!(["title"]), "required, but missing"),
        (json!({ "title": 7 }), json!(["title"]), "invalid type: integer `7`, expected a string"),
        (
            json!({ "title": "a", "labels": ["b", 7] }),
            json!(["labels", 1]),
            "invalid type: integer `7`, expected a string",
        ),
        (json!({ "title": "a", "priority": 256 }), json!(["priority"]), "invalid value: integer `256`, expected u8"),
        (json!([1, 2, 3, 4, 5]), json!([0]), "invalid type: integer `1`, expected a string"),
    ] {
        assert_eq!(fault(&send(content)), ("body".into(), at, message.into()));
    }
    let problem = send(json!({ "title": "a", "labels": ["b", 7] })).json().unwrap();
    assert_eq!(problem["detail"], "body.labels[1]: invalid type: integer `7`, expected a string");
}

#[test]
fn content_that_is_no_json_is_400_and_another_type_415() {
    let server = issues();
    let client = server.test_client().unwrap();
    for (media_type, content, code, detail) in [
        ("application/json", "{", 400, "the content is not JSON: EOF while parsing an object at line 1 column 1"),
        ("application/json", "{} 1", 422, "body.title: required, but missing"),
        ("application/json", "\"\u{7}\"", 400, "the content is not JSON: "),
        ("application/json", "", 400, "the content is not JSON: EOF while parsing a value at line 1 column 0"),
        ("text/plain", "{}", 415, "content of the type text/plain is not taken here: send application/json"),
        ("application/vnd.issue+json; charset=utf-8", "{}", 422, "body.title: required, but missing"),
    ] {
        let answer = client.post("/issues").header("Content-Type", media_type).content(content).send().unwrap();
        let problem = answer.json().unwrap();
        assert_eq!(answer.status(), code, "{content}: {problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(detail), "{problem}");
    }
    let untyped = client.post("/issues").content("{}").send().unwrap();
    assert_eq!(
        untyped.json().unwrap()["detail"],
        "content without a Content-Type is not taken here: send application/json"
    );
    assert_eq!(fault(&client.post("/issues").send().unwrap()).1, json!([]));
    let trailing = client
        .post("/issues")
        .header("Content-Type", "application/json")
        .content("{\"title\":\"a\"} 1")
        .send()
        .unwrap();
    assert_eq!(trailing.json().unwrap()["detail"], "the content is not JSON: trailing characters at line 1 column 15");
}

#[test]
fn forms_and_json_become_the_same_value() {
    let server = issues();
    let client = server.test_client().unwrap();
    let fields = [("title", "Rain & sun"), ("labels", "a"), ("labels", "b"), ("priority", ""), ("is_open", "on")];
    let expected = r#"{"title":"Rain & sun","labels":["a","b"],"priority":null,"is_open":true}"#;
    for request in [client.post("/form"), client.put("/issues")] {
        assert_eq!(told(&request.form(&fields).send().unwrap()), (200, expected.into()));
    }
    let multipart = "--cut\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nRain & sun\r\n--cut\r\n\
                     Content-Disposition: form-data; name=\"labels\"\r\n\r\na\r\n--cut--";
    let typed = client.put("/issues").header("Content-Type", "multipart/form-data; boundary=cut").content(multipart);
    assert_eq!(typed.send().unwrap().json().unwrap()["labels"], json!(["a"]));
    assert_eq!(client.put("/issues").json(&json!({ "title": "a" })).send().unwrap().status(), 200);
    let wrong = client.post("/form").form(&[("title", "a"), ("priority", "high")]).send().unwrap();
    let message = "expected a whole number from 0 to 255, got \"high\"";
    assert_eq!(fault(&wrong), ("body".into(), json!(["priority"]), message.into()));
    assert_eq!(client.post("/form").json(&json!({})).send().unwrap().status(), 415);
    let neither = client.put("/issues").header("Content-Type", "text/csv").content("a").send().unwrap();
    assert!(neither.text().contains("send JSON or a form"), "{}", neither.text());
}

#[test]
fn the_query_and_the_path_become_values() {
    let server = issues();
    let client = server.test_client().unwrap();
    for (target, expected) in [
        (
            "/search?q=a+b&page=2&tag=x&tag=y&order=oldest&weight=1.5",
            "Search { q: \"a b\", page: Some(2), tag: [\"x\", \"y\"], order: Some(Oldest), weight: Some(1.5) }",
        ),
        ("/search?q=&page=", "Search { q: \"\", page: None, tag: [], order: None, weight: None }"),
        (
            "/search?q=%C3%A9&order=newest",
            "Search { q: \"é\", page: None, tag: [], order: Some(Newest), weight: None }",
        ),
        ("/issues/65535", "issue 65535"),
        ("/ada%20l/issues/7?b=2&a=1&b=3", "ada l 7 {\"a\": \"1\", \"b\": \"2\"}"),
    ] {
        assert_eq!(told(&get(&client, target)), (200, expected.into()), "{target}");
    }
    for (target, part, at, message) in [
        ("/search", "query", json!(["q"]), "required, but missing"),
        ("/search?q=a&page=-1", "query", json!(["page"]), "expected a whole number from 0 on, of 32 bits, got \"-1\""),
        ("/search?q=a&weight=NaN", "query", json!(["weight"]), "expected a number, got \"NaN\""),
        ("/search?q=a&order=best", "query", json!(["order"]), "unknown variant `best`, expected `newest` or `oldest`"),
        ("/issues/65536", "path", json!([]), "expected a whole number from 0 to 65535, got \"65536\""),
    ] {
        assert_eq!(fault(&get(&client, target)), (part.into(), at, message.into()), "{target}");
    }
}

/// The user that a field of the request names.
struct User(String);

impl FromRequest for User {
    fn from_request(request: &Request) -> Result<Self, Error> {
        let name = request.headers().get("X-User").ok_or_else(|| Error::status(401, Some("sign in")))?;
        Ok(Self(name.to_owned()))
    }
}

#[test]
fn own_types_are_taken_from_requests() {
    let server = server();
    server.get("/me", |_: &Request, User(name): User| name).unwrap();
    server
        .get("/you", |_: &Request, user: Result<User, Error>| user.map_or("nobody signed in".to_owned(), |user| user.0))
        .unwrap();
    server.get("/state", |_: &Request, State(count): State<u32>| count.to_string()).unwrap();
    let client = server.test_client().unwrap();
    assert_eq!(told(&client.get("/me").header("X-User", "ada").send().unwrap()), (200, "ada".into()));
    assert_eq!(told(&get(&client, "/me")), (401, "401 Unauthorized: sign in\n".into()));
    assert_eq!(get(&client, "/you").text(), "nobody signed in");
    assert_eq!(get(&client, "/state").status(), 500, "nothing has set it");
}

#[test]
fn answers_have_their_status_beside_them() {
    let server = server();
    server.get("/kept", |_: &Request| ("kept", 201, [("Location", "/notes/1")])).unwrap();
    server.get("/json", |_: &Request| (202, Json([1, 2]))).unwrap();
    server.get("/value", |_: &Request| (json!({ "a": 1 }), 203)).unwrap();
    server.get("/none", |_: &Request| None::<Response>).unwrap();
    server.get("/some", |_: &Request| Some("some")).unwrap();
    server.get("/page", |_: &Request| (410, format!("gone since {}", 2020))).unwrap();
    server.get("/keys", |_: &Request| Json(BTreeMap::from([([1, 2], 3)]))).unwrap();
    server.get("/wild", |_: &Request| ("wild", 99)).unwrap();
    let client = server.test_client().unwrap();
    assert_eq!(get(&client, "/kept").headers().get("Location"), Some("/notes/1"));
    for (target, expected) in [
        ("/kept", (201, "kept")),
        ("/json", (202, "[1,2]")),
        ("/value", (203, "{\"a\":1}")),
        ("/none", (404, "404 Not Found\n")),
        ("/some", (200, "some")),
        ("/page", (410, "410 Gone: gone since 2020\n")),
        ("/keys", (500, "500 Internal Server Error\n")),
        ("/wild", (500, "500 Internal Server Error\n")),
    ] {
        assert_eq!(told(&get(&client, target)), (expected.0, expected.1.to_owned()), "{target}");
    }
}
