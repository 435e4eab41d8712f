//! Addresses of routes, and functions that run beside requests.

use std::fmt::Display;

use super::OutsideHttp;
use crate::application::{BackgroundResult, run_future};
use crate::error::Error;
use crate::site::DEBUG_PATH;

impl OutsideHttp {
    /// The path of a route: as [`crate::Request::url_for`], outside of a request.
    ///
    /// # Errors
    /// As there.
    pub fn url_for(&self, name: &str, values: &[(&str, &dyn Display)]) -> Result<String, Error> {
        self.site.snapshot().routes.url_for(name, values)
    }

    /// Runs a function beside the requests, on a thread of its own, at once: `max_background` (32) of them at one moment,
    /// 1,000 more wait. It has no deadline; a failure goes to the log. The end of the server waits for it, for
    /// `termination_timeout` at most.
    ///
    /// ```
    /// use outside::OutsideHttp;
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// let (sent, received) = std::sync::mpsc::channel();
    /// server.background(move || sent.send("tidied"))?;
    /// assert_eq!(received.recv()?, "tidied");
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// Too many wait already, or the system refuses a thread.
    pub fn background<R: BackgroundResult>(&self, function: impl FnOnce() -> R + Send + 'static) -> Result<(), Error> {
        self.site.application.background.add(function)
    }

    /// The same for a future, which may use tokio: timers, sockets, tasks.
    ///
    /// ```
    /// use outside::OutsideHttp;
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// let (sent, received) = std::sync::mpsc::channel();
    /// server.background_async(async move {
    ///     tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    ///     sent.send("tidied")
    /// })?;
    /// assert_eq!(received.recv()?, "tidied");
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`OutsideHttp::background`].
    pub fn background_async<R: BackgroundResult>(
        &self,
        future: impl Future<Output = R> + Send + 'static,
    ) -> Result<(), Error> {
        self.background(move || run_future(future))
    }

    /// The path, with the token in its query, that a browser opens once to see pages about errors; `None` without
    /// `config.debug`. `run` prints it.
    ///
    /// ```
    /// use outside::{Error, OutsideHttp, Request};
    ///
    /// let mut server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// server.config.debug = true;
    /// server.get("/", |_: &Request| -> Result<String, Error> { Ok(std::fs::read_to_string("/no/such/file")?) })?;
    ///
    /// let client = server.test_client()?;
    /// assert!(!client.get("/").send()?.text().contains("No such file"));
    /// client.get(&server.debug_path().expect("debug is on")).send()?;
    /// assert!(client.get("/").send()?.text().contains("No such file"));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn debug_path(&self) -> Option<String> {
        let token = if self.config.debug { self.site.debug_token() } else { None };
        token.map(|token| format!("{DEBUG_PATH}?token={token}"))
    }

    /// Gives a route a name.
    pub(super) fn name_route(&self, name: &str, pattern: &str) -> Result<(), Error> {
        self.site.edit(|site| site.routes.name(name, pattern))
    }
}
