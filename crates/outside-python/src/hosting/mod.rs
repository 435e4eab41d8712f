//! Applications of other interfaces as handlers: WSGI (PEP 3333).
//!
//! The engine does the work of HTTP; this folder turns a request into the call that the interface prescribes, and the
//! answer of the application into a response. `outside/_hosting` decides which interface an application has.

pub(crate) mod wsgi;
pub(crate) mod wsgi_call;
pub(crate) mod wsgi_environ;
pub(crate) mod wsgi_fields;
pub(crate) mod wsgi_file;
pub(crate) mod wsgi_input;
pub(crate) mod wsgi_names;
