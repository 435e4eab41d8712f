//! Applications of other interfaces as handlers: WSGI (PEP 3333) and ASGI 3.
//!
//! The engine does the work of HTTP; this folder turns a request into the call that the interface prescribes, and the
//! answer of the application into a response. `outside/_hosting` decides which interface an application has.

pub(crate) mod address;
pub(crate) mod asgi;
pub(crate) mod asgi_awaitable;
pub(crate) mod asgi_call;
pub(crate) mod asgi_event;
pub(crate) mod asgi_extensions;
pub(crate) mod asgi_outgoing;
pub(crate) mod asgi_scope;
pub(crate) mod asgi_socket;
mod usual_names;
pub(crate) mod wsgi;
pub(crate) mod wsgi_call;
pub(crate) mod wsgi_environ;
pub(crate) mod wsgi_fields;
pub(crate) mod wsgi_file;
pub(crate) mod wsgi_input;
pub(crate) mod wsgi_running;
