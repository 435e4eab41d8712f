//! Which route answers which path and method, as tables.

use super::*;

fn tree(patterns: &[&str]) -> Tree<String> {
    let mut tree = Tree::default();
    for pattern in patterns {
        let (method, path) = pattern.split_once(' ').unwrap_or(("GET", pattern));
        tree.add(path, &[method], "here".to_owned(), path.to_owned()).unwrap();
    }
    tree
}

/// The route that answers and its parameters, as `pattern name=value`.
fn answer(tree: &Tree<String>, method: &str, route: &str, url: &str) -> String {
    match tree.find(WantedPath { route, url }, method) {
        Found::Nothing => "-".to_owned(),
        Found::Methods(methods, _) => format!("405 {}", methods.join(", ")),
        Found::Route(entry, values) => {
            let values = entry.named.names.iter().zip(values);
            let values = values.map(|(name, value)| format!(" {name}={value:?}"));
            format!("{}{}", entry.what, values.collect::<String>())
        }
    }
}

#[test]
fn whole_paths_match() {
    let tree = tree(&["/", "/users", "/users/", "/users/<int:id>", "/a/<b>/c/<d>", "/caf\u{e9}"]);
    for (path, expected) in [
        ("/", "/"),
        ("/users", "/users"),
        ("/users/", "/users/"),
        ("/users/5", "/users/<int:id> id=Int(5)"),
        ("/users/5/", "-"),
        ("/users/x", "-"),
        ("/users/5/x", "-"),
        ("/a/1/c/2", "/a/<b>/c/<d> b=Text(\"1\") d=Text(\"2\")"),
        ("/a//c/2", "-"),
        ("/a/1/c/", "-"),
        ("/a/1/c", "-"),
        ("//", "-"),
        ("", "-"),
        ("*", "-"),
        ("/caf\u{e9}", "/caf\u{e9}"),
        ("/USERS", "-"),
    ] {
        assert_eq!(answer(&tree, "GET", path, path), expected, "{path}");
    }
}

#[test]
fn the_narrower_one_answers() {
    let uuid = "0189dcd5-5311-7d40-8db0-9496a2eef37b";
    let tree = tree(&["/<path:p>", "/<s>", "/<float:f>", "/<uuid:u>", "/<int:i>", "/7", "/<s>/x", "/<int:i>/y"]);
    for (path, pattern) in [
        ("/7", "/7"),
        ("/8", "/<int:i>"),
        ("/8.5", "/<float:f>"),
        ("/99999999999999999999", "/<float:f>"),
        (&format!("/{uuid}"), "/<uuid:u>"),
        ("/word", "/<s>"),
        ("/word/x", "/<s>/x"),
        ("/8/y", "/<int:i>/y"),
        // Nothing below the int answers this, so that the str is asked.
        ("/8/x", "/<s>/x"),
        ("/word/y", "/<path:p>"),
        ("/8/y/", "/<path:p>"),
    ] {
        let found = answer(&tree, "GET", path, path);
        assert_eq!(found.split(' ').next(), Some(pattern), "{path}");
    }
}

#[test]
fn a_path_takes_the_segments_that_are_left() {
    let tree = tree(&["/f/<path:p>", "/f/<path:p>/edit", "/f/<path:p>/v/<int:n>", "/f/<path:p>/v/<name>"]);
    for (path, expected) in [
        ("/f/a", "/f/<path:p> p=Text(\"a\")"),
        ("/f/a/b/", "/f/<path:p> p=Text(\"a/b/\")"),
        ("/f/a/edit", "/f/<path:p>/edit p=Text(\"a\")"),
        ("/f/edit", "/f/<path:p> p=Text(\"edit\")"),
        ("/f/a/b/v/3", "/f/<path:p>/v/<int:n> p=Text(\"a/b\") n=Int(3)"),
        ("/f/a/b/v/x", "/f/<path:p>/v/<name> p=Text(\"a/b\") name=Text(\"x\")"),
        ("/f/a/v/", "/f/<path:p> p=Text(\"a/v/\")"),
        ("/f/", "-"),
        ("/f", "-"),
        ("/f//etc/passwd", "-"),
        ("/f//edit", "-"),
    ] {
        assert_eq!(answer(&tree, "GET", path, path), expected, "{path}");
    }
}

#[test]
fn text_around_a_parameter_belongs_to_its_segment() {
    let tree = tree(&[
        "/<name>",
        "/<name>.json",
        "/@<user>",
        "/@<user>.json",
        "/v<int:n>",
        "/v<n>.b/x",
        "/{id:int}.json",
        "/f/<path:p>/<name>.md",
    ]);
    for (path, expected) in [
        ("/a", "/<name> name=Text(\"a\")"),
        ("/a.json", "/<name>.json name=Text(\"a\")"),
        ("/a.json.json", "/<name>.json name=Text(\"a.json\")"),
        ("/7.json", "/{id:int}.json id=Int(7)"),
        // Nothing is left for the parameter, so that another route has it.
        ("/.json", "/<name> name=Text(\".json\")"),
        ("/@ann", "/@<user> user=Text(\"ann\")"),
        ("/@ann.json", "/@<user>.json user=Text(\"ann\")"),
        ("/@", "/<name> name=Text(\"@\")"),
        ("/v12", "/v<int:n> n=Int(12)"),
        ("/vx", "/<name> name=Text(\"vx\")"),
        ("/v1.b/x", "/v<n>.b/x n=Text(\"1\")"),
        ("/f/a/b/c.md", "/f/<path:p>/<name>.md p=Text(\"a/b\") name=Text(\"c\")"),
        ("/f/a/b/c.txt", "-"),
    ] {
        assert_eq!(answer(&tree, "GET", path, path), expected, "{path}");
    }
    assert_eq!(answer(&tree, "GET", "/@a%2Fb", "/@a/b"), "-", "a slash is no part of it");
}

#[test]
fn an_encoded_slash_is_no_part_of_a_segment() {
    let tree = tree(&["/s/<s>", "/p/<path:p>", "/p/<path:p>/<s>"]);
    for (route, url, expected) in [
        ("/s/a%2Fb", "/s/a/b", "-"),
        ("/s/a%2Fb", "/s/a%2Fb", "/s/<s> s=Text(\"a%2Fb\")"),
        ("/p/a%2Fb", "/p/a/b", "/p/<path:p> p=Text(\"a/b\")"),
        ("/p/%2Fetc", "/p//etc", "-"),
        // One that was encoded, and one whose percent sign was.
        ("/p/a%2Fb%2Fc", "/p/a%2Fb/c", "/p/<path:p> p=Text(\"a%2Fb/c\")"),
        ("/p/\u{e9}%2Fb/c", "/p/\u{e9}/b/c", "/p/<path:p>/<s> p=Text(\"\u{e9}/b\") s=Text(\"c\")"),
    ] {
        assert_eq!(answer(&tree, "GET", route, url), expected, "{route} {url}");
    }
}

#[test]
fn methods_belong_to_routes() {
    let tree = tree(&["/a", "POST /a", "DELETE /<s>", "PUT /b", "OPTIONS /b", "/<path:p>/x", "POST /c/x"]);
    for (method, path, expected) in [
        ("GET", "/a", "/a"),
        ("HEAD", "/a", "/a"),
        ("POST", "/a", "/a"),
        // The literal has it not; the next route that matches has.
        ("DELETE", "/a", "/<s> s=Text(\"a\")"),
        ("PUT", "/a", "405 DELETE, GET, HEAD, OPTIONS, POST"),
        ("OPTIONS", "/a", "405 DELETE, GET, HEAD, OPTIONS, POST"),
        ("OPTIONS", "/b", "/b"),
        ("HEAD", "/b", "405 DELETE, OPTIONS, PUT"),
        ("get", "/a", "405 DELETE, GET, HEAD, OPTIONS, POST"),
        ("GET", "/c/x", "/<path:p>/x p=Text(\"c\")"),
    ] {
        assert_eq!(answer(&tree, method, path, path), expected, "{method} {path}");
    }
}

#[test]
fn two_that_answer_the_same_are_told_of() {
    let mut tree = Tree::default();
    tree.add("/u/<int:id>", &["GET", "PUT"], "app.py:3".to_owned(), ()).unwrap();
    tree.add("/u/{name}", &["GET"], "app.py:7".to_owned(), ()).unwrap();
    tree.add("/u/{n:int}", &["POST"], "app.py:9".to_owned(), ()).unwrap();
    let error = tree.add("/u/{n:int}", &["DELETE", "PUT"], "api.py:12".to_owned(), ()).unwrap_err().to_string();
    for part in ["PUT \"/u/{n:int}\"", "api.py:12", "\"/u/<int:id>\"", "app.py:3"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(tree.entries().len(), 3, "no refused route is there");
    assert!(tree.remove("/u/<int:id>") && !tree.remove("/u/<int:id>"));
    assert_eq!(tree.entries().len(), 2);
    for bad in [&["get"][..], &[""], &["GE T"], &[]] {
        assert!(tree.add("/x", bad, String::new(), ()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_look_up_ends_where_every_way_ends_in_nothing() {
    // Each level has four matches, and the end none: the number of attempts is bounded by that of the routes.
    let kinds = ["7", "<int:#>", "<float:#>", "<#>"];
    let mut tree = Tree::default();
    for kind in kinds {
        let pattern: String = (0..12).map(|level| format!("/{}", kind.replace('#', &format!("a{level}")))).collect();
        tree.add(&format!("{pattern}/end"), &["GET"], String::new(), ()).unwrap();
    }
    let path = format!("{}/none", "/7".repeat(12));
    assert!(matches!(tree.find(WantedPath { route: &path, url: &path }, "GET"), Found::Nothing));
}
