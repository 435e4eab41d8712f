//! A small application: signing in, a page with a form, JSON, live updates, functions afterwards.
//!
//! `OUTSIDE_SECRET=$(openssl rand -base64 33) cargo run --release --example notes -- PORT`, then open the address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outside::handler::named;
use outside::input::{FormFields, FromRequest, Json, Path, Query};
use outside::message::{InputError, InputFault, InputStep};
use outside::{Error, OutsideHttp, Request, Response, WebSocket, WebSocketConnection};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize)]
struct Note {
    id: usize,
    author: String,
    text: String,
}

#[derive(Debug, Deserialize)]
struct NewNote {
    text: String,
}

#[derive(Debug, Deserialize)]
struct SignIn {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

/// The user of a session; a request without one is asked to sign in.
struct User(String);

impl FromRequest for User {
    fn from_request(request: &Request) -> Result<Self, Error> {
        let name = request.session()?.get("user").ok_or_else(|| Error::status(401, Some("sign in first")))?;
        Ok(Self(name))
    }
}

/// The notes, which live as long as the process.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Note>>>);

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Vec<Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a note, and tells the pages that show them.
    fn add(&self, request: &Request, author: String, new: NewNote) -> Result<Note, Error> {
        if new.text.trim().is_empty() {
            let at = vec![InputStep::Name("text".into())];
            return Err(
                InputError::new(422, InputFault { part: "body", at, message: "a note has a text".into() }).into()
            );
        }
        let mut notes = self.lock();
        let note = Note { id: notes.len() + 1, author, text: new.text };
        notes.push(note.clone());
        request.publish("notes", serde_json::to_string(&note)?);
        let line = format!("note {} of {} was kept", note.id, note.author);
        request.after(move || eprintln!("{line}"));
        Ok(note)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn page(request: &Request, notes: &[Note]) -> Result<Response, Error> {
    let session = request.session()?;
    let flashes: String = session.flashes().iter().map(|text| format!("<p><b>{}</b>", escape(text))).collect();
    let form = match session.get::<String>("user") {
        Some(user) => {
            format!("<form method=post action=/notes>{}: <input name=text><button>Keep</button></form>", escape(&user))
        }
        None => {
            "<form method=post action=/sign-in><input name=name placeholder=Name><button>Sign in</button></form>".into()
        }
    };
    let mut list = String::new();
    for note in notes {
        let address = request.url_for("note", &[("id", &note.id)])?;
        list += &format!("<li><a href=\"{address}\">{}</a> ({})", escape(&note.text), escape(&note.author));
    }
    Ok(Response::html(format!(
        "<!doctype html><title>Notes</title>{flashes}{form}<ul id=list>{list}</ul><script>
        new WebSocket('/live').onmessage = event => {{
            const note = JSON.parse(event.data), item = document.createElement('li')
            item.textContent = `${{note.text}} (${{note.author}})`
            document.getElementById('list').append(item)
        }}</script>"
    )))
}

/// The application, without a place to listen at.
pub fn application(server: &OutsideHttp) -> Result<(), Error> {
    let notes = Notes::default();
    let shown = notes.clone();
    server.get("/", move |request: &Request, Query(search): Query<Search>| {
        let found: Vec<Note> = shown.lock().iter().filter(|note| note.text.contains(&search.q)).cloned().collect();
        page(request, &found)
    })?;
    server.post("/sign-in", |request: &Request, FormFields(form): FormFields<SignIn>| {
        let session = request.session()?;
        session.clear();
        session.insert("user", &form.name)?;
        session.flash(&format!("Welcome, {}", form.name));
        Ok::<_, Error>(Response::redirect("/", 303))
    })?;
    let kept = notes.clone();
    server.post("/notes", move |request: &Request, (User(user), FormFields(new)): (User, FormFields<NewNote>)| {
        kept.add(request, user, new)?;
        Ok::<_, Error>(Response::redirect("/", 303))
    })?;
    let listed = notes.clone();
    server.get("/api/notes", move |_: &Request| Json(listed.lock().clone()))?;
    let made = notes.clone();
    server.post("/api/notes", move |request: &Request, (User(user), Json(new)): (User, Json<NewNote>)| {
        let note = made.add(request, user, new)?;
        let address = request.url_for("note", &[("id", &note.id)])?;
        Ok::<_, Error>(Response::json(&note).with_status(201).with_header("Location", address))
    })?;
    let one =
        move |_: &Request, Path(id): Path<usize>| notes.lock().iter().find(|note| note.id == id).cloned().map(Json);
    server.get("/notes/{id:int}", named("note", one))?;
    let subscribe = |connection: &WebSocketConnection| -> Result<(), Error> {
        connection.subscribe("notes");
        Ok(())
    };
    server.set_route("/live", WebSocket::new().on_open(subscribe))?;
    server.after_request(|_: &Request, response: &mut Response| response.headers_mut().set("X-Frame-Options", "DENY"));
    server.catch_all(|request: &Request, error: &Error| -> Result<Response, Error> {
        match (error.code(), error.input()) {
            (_, Some(input)) => Ok(input.response()),
            (401, None) if request.headers().get("Accept").is_some_and(|accept| accept.contains("html")) => {
                request.session()?.flash("Please sign in");
                Ok(Response::redirect("/", 303))
            }
            (code, None) => Err(Error::status(code, error.public_message())),
        }
    });
    Ok(())
}

/// Serves it; the first argument is the port.
pub fn main() -> Result<(), Error> {
    let port = std::env::args().nth(1).map_or(Ok(8080), |text| text.parse())?;
    let mut server = OutsideHttp::new(("127.0.0.1", port))?;
    server.config.secret = std::env::var("OUTSIDE_SECRET")?.into();
    application(&server)?;
    server.run()
}
