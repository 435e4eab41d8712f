//! Functions around handlers, and handlers of errors by their type or of all errors.

use std::sync::Arc;

use super::OutsideHttp;
use crate::error::Error;
use crate::message::{IntoAnswer, IntoEarlyAnswer, Request, Response};
use crate::site::{CaughtAny, CaughtType, after, before};

impl OutsideHttp {
    /// Has a function called before every handler, and before files, redirects, WebSockets, 404 and 405. Functions are called
    /// in the order in which they were added, on the thread of the handler, and may block.
    ///
    /// A function returns `()` or `None` to let the request pass, `Some(answer)` to answer in place of the handler, or a
    /// `Result` of either. Values for the handler stand in [`Request::set_state`].
    ///
    /// ```
    /// use outside::input::State;
    /// use outside::{Error, OutsideHttp, Request};
    ///
    /// struct User(String);
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// server.before_request(|request: &Request| {
    ///     let name = request.headers().get("X-User").ok_or_else(|| Error::status(401, Some("sign in")))?;
    ///     request.set_state(User(name.to_owned()));
    ///     Ok::<(), Error>(())
    /// });
    /// server.get("/me", |_: &Request, State(user): State<User>| user.0.clone())?;
    ///
    /// let client = server.test_client()?;
    /// assert_eq!(client.get("/me").send()?.status(), 401);
    /// assert_eq!(client.get("/me").header("X-User", "ada").send()?.text(), "ada");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn before_request<F, A>(&self, function: F)
    where
        F: Fn(&Request) -> A + Send + Sync + 'static,
        A: IntoEarlyAnswer + 'static,
    {
        self.change(|site| site.add_before(before(function)));
    }

    /// Has a function called after every handler, and for all other answers, just before their head is sent. It may change the
    /// answer; `Some(answer)` takes its place. The function that was added last is called first.
    ///
    /// ```
    /// use outside::{OutsideHttp, Request, Response};
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// server.after_request(|request: &Request, response: &mut Response| response.headers_mut().set("X-Path", request.path()));
    /// assert_eq!(server.test_client()?.get("/a").send()?.headers().get("X-Path"), Some("/a"));
    /// # Ok::<(), outside::Error>(())
    /// ```
    pub fn after_request<F, A>(&self, function: F)
    where
        F: Fn(&Request, &mut Response) -> A + Send + Sync + 'static,
        A: IntoEarlyAnswer + 'static,
    {
        self.change(|site| site.add_after(after(function)));
    }

    /// Has a function answer the errors of one type that handlers return, in place of a 500. Their texts are not logged.
    /// An answer with 200 gets the code of the error, which is 500.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use outside::{OutsideHttp, Request};
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// server.catch(|_: &Request, error: &ParseIntError| (error.to_string(), 400));
    /// server.get("/double/{number}", |request: &Request| {
    ///     let (number,): (String,) = request.parameters_as()?;
    ///     Ok::<_, outside::Error>((2 * number.parse::<u64>()?).to_string())
    /// })?;
    ///
    /// let client = server.test_client()?;
    /// let answer = client.get("/double/x").send()?;
    /// assert_eq!((answer.status(), answer.text()), (400, "invalid digit found in string".into()));
    /// # Ok::<(), outside::Error>(())
    /// ```
    pub fn catch<E, F, A>(&self, function: F)
    where
        E: std::error::Error + 'static,
        F: Fn(&Request, &E) -> A + Send + Sync + 'static,
        A: IntoAnswer + 'static,
    {
        self.change(|site| site.caught.push(Arc::new(CaughtType::new(function))));
    }

    /// Has a function answer every error that has no closer handler: those of handlers, and the server's own answers of 400 and
    /// above. An answer with 200 gets the code of the error; an error gives the built-in page.
    ///
    /// ```
    /// use outside::{Error, OutsideHttp, Request};
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// server.catch_all(|request: &Request, error: &Error| format!("{}: {}", error.code(), request.path()));
    ///
    /// let answer = server.test_client()?.get("/nothing").send()?;
    /// assert_eq!((answer.status(), answer.text()), (404, "404: /nothing".into()));
    /// # Ok::<(), outside::Error>(())
    /// ```
    pub fn catch_all<F, A>(&self, function: F)
    where
        F: Fn(&Request, &Error) -> A + Send + Sync + 'static,
        A: IntoAnswer + 'static,
    {
        self.change(|site| site.catch_all = Some(Arc::new(CaughtAny(function))));
    }

    fn change(&self, edit: impl FnOnce(&mut crate::site::Snapshot)) {
        let changed = self.site.edit(|site| {
            edit(site);
            Ok(())
        });
        debug_assert!(changed.is_ok(), "setting a field cannot fail");
    }
}
