//! The methods by which a handler takes input of its own types from a request.

use serde_core::de::DeserializeOwned;

use super::json::{self, media_type};
use super::pairs;
use super::refusal::{missing, unsupported};
use crate::content::Form;
use crate::error::Error;
use crate::message::Request;

/// The media types of forms.
const FORMS: [&str; 2] = ["application/x-www-form-urlencoded", "multipart/form-data"];

impl Request {
    /// The content as JSON, in UTF-8, UTF-16 or UTF-32, as a value of any type that `serde` can make.
    ///
    /// ```
    /// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
    /// use outside::{Error, Request};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct NewIssue { title: String }
    ///
    /// server.post("/issues", |request: &Request| -> Result<String, Error> {
    ///     let issue: NewIssue = request.json()?;
    ///     Ok(issue.title)
    /// })?;
    /// let client = server.test_client()?;
    /// assert_eq!(client.post("/issues").json(&serde_json::json!({ "title": "Rain" })).send()?.text(), "Rain");
    /// assert_eq!(client.post("/issues").content("title=Rain").send()?.status(), 415);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// 422 with the path of a value that does not fit, 400 for content that is no JSON, 415 for content of another type:
    /// a handler that passes the error on with `?` answers with a problem document (RFC 9457).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        json::read(self, &media_type(self), "application/json")
    }

    /// The fields of a form, url-encoded or multipart, as one value: a struct with a field for each, or a map. A field
    /// that is sent several times fills a list; an empty one is `None` for an `Option`. Files are left out; see
    /// [`Request::form`].
    ///
    /// ```
    /// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
    /// #[derive(serde::Deserialize)]
    /// struct Profile { name: String, age: Option<u8>, #[serde(default)] tags: Vec<String> }
    ///
    /// server.post("/profile", |request: &outside::Request| {
    ///     let profile: Profile = request.form_as()?;
    ///     Ok::<_, outside::Error>(format!("{} {:?} {:?}", profile.name, profile.age, profile.tags))
    /// })?;
    /// let client = server.test_client()?;
    /// let answer = client.post("/profile").form(&[("name", "Ada"), ("age", ""), ("tags", "a"), ("tags", "b")]).send()?;
    /// assert_eq!(answer.text(), r#"Ada None ["a", "b"]"#);
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// 422 with the name of a field that does not fit, 415 for content that is no form, and the errors of
    /// [`Request::form`].
    pub fn form_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let media_type = media_type(self);
        let is_nothing = media_type.is_empty() && self.content_length() == 0;
        if !is_nothing && !is_form(&media_type) {
            return Err(unsupported(&media_type, "a form"));
        }
        fields(&self.form()?)
    }

    /// The content as one value, whether it is JSON or a form: its Content-Type says so.
    ///
    /// # Errors
    /// As [`Request::json`] and [`Request::form_as`].
    pub fn content_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let media_type = media_type(self);
        match media_type.as_str() {
            form if is_form(form) => fields(&self.form()?),
            "" if self.content_length() == 0 => Err(missing("body")),
            other => json::read(self, other, "JSON or a form"),
        }
    }

    /// The query as one value, by the rules of [`Request::form_as`].
    ///
    /// ```
    /// # use outside::Request;
    /// # use outside::message::RequestParts;
    /// #[derive(serde::Deserialize)]
    /// struct Search { q: String, page: Option<u32> }
    ///
    /// let request = Request::from_parts(&RequestParts { target: "/find?q=a+b&page=2", ..RequestParts::default() })?;
    /// let search: Search = request.params_as()?;
    /// assert_eq!((search.q.as_str(), search.page), ("a b", Some(2)));
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// 422 with the name of a parameter that does not fit.
    pub fn params_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let params = self.params();
        pairs::read("query", params.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The parameters of the path as one value: a struct or a map by their names, a tuple in their order, or the only one
    /// itself.
    ///
    /// ```
    /// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
    /// server.get("/users/{user}/issues/{id:int}", |request: &outside::Request| {
    ///     let (user, id): (String, u32) = request.parameters_as()?;
    ///     Ok::<_, outside::Error>(format!("{user} {id}"))
    /// })?;
    /// assert_eq!(server.test_client()?.get("/users/ada/issues/7").send()?.text(), "ada 7");
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// 422 with the name of a parameter that does not fit.
    pub fn parameters_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let texts: Vec<(&str, String)> = match self.parameters() {
            Some(parameters) => parameters.iter().map(|(name, value)| (name, value.to_string())).collect(),
            None => Vec::new(),
        };
        pairs::read("path", texts.iter().map(|(name, value)| (*name, value.as_str())))
    }
}

fn is_form(media_type: &str) -> bool {
    FORMS.contains(&media_type)
}

fn fields<T: DeserializeOwned>(form: &Form<'_>) -> Result<T, Error> {
    pairs::read("body", form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}
