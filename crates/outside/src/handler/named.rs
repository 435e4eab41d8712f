//! Names of routes, by which programs make addresses of them.

use super::{Handler, IntoHandler};
use crate::error::Error;

/// A handler with the name of its route: [`named`].
#[derive(Clone, Copy, Debug)]
pub struct NamedHandler<'n, H>(&'n str, H);

/// Gives the route of a handler a name, by which [`crate::Request::url_for`] makes addresses of it.
///
/// ```
/// use outside::handler::{blocking, named};
/// use outside::{OutsideHttp, Request};
///
/// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
/// server.get("/reports/{year:int}", named("report", blocking(|_: &Request| "a report")))?;
/// assert_eq!(server.url_for("report", &[("year", &2026)])?, "/reports/2026");
/// let unknown = server.url_for("reprot", &[]).unwrap_err().to_string();
/// assert_eq!(unknown, "url_for(\"reprot\"): no route has this name; did you mean \"report\"?; there are report");
/// # Ok::<(), outside::Error>(())
/// ```
pub fn named<H>(name: &str, handler: H) -> NamedHandler<'_, H> {
    NamedHandler(name, handler)
}

/// Marks handlers with a name.
#[derive(Debug)]
pub struct HasName<Kind>(std::marker::PhantomData<Kind>);

impl<H, Kind> IntoHandler<HasName<Kind>> for NamedHandler<'_, H>
where
    H: IntoHandler<Kind>,
{
    fn into_handler(self) -> Result<Handler, Error> {
        self.1.into_handler()
    }

    fn route_name(&self) -> Option<String> {
        Some(self.0.to_owned())
    }
}
