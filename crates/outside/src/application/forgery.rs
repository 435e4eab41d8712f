//! Requests that other sites have a browser send (CSRF): a request that changes something and carries a session must not
//! come from a page of another site.
//!
//! Browsers say where a request comes from: Sec-Fetch-Site, else Origin. A request without both comes from no browser that other
//! sites could use: SameSite=Lax keeps the cookie from the old ones that say neither.

use super::session::NAME;
use crate::message::{Request, normalised_origin};

/// Whether this request carries a session and a page of another site has sent it.
pub(crate) fn is_forged(request: &Request) -> bool {
    !request.is_safe() && request.cookies().get(NAME).is_some() && !is_own(request)
}

fn is_own(request: &Request) -> bool {
    let headers = request.headers();
    match (headers.get_bytes("Sec-Fetch-Site"), headers.get_bytes("Origin")) {
        (Some(site), _) => matches!(site, b"same-origin" | b"none"),
        (None, None) => true,
        (None, Some(origin)) => {
            let own = normalised_origin(format!("{}://{}", request.scheme(), request.host()).as_bytes());
            own.is_some() && normalised_origin(origin) == own
        }
    }
}
