//! The class `OutsideHTTP`: its configuration, its routes, its listeners, and a run from the first signal handler that
//! is set to the last callback that is called.

pub(crate) mod around;
pub(crate) mod bus_in_use;
pub(crate) mod certificates;
pub(crate) mod contention;
pub(crate) mod debug_token;
pub(crate) mod embedding;
pub(crate) mod folder;
pub(crate) mod hosted;
#[cfg(target_os = "linux")]
pub(crate) mod hub_loop;
pub(crate) mod listening;
pub(crate) mod memory;
pub(crate) mod metrics;
pub(crate) mod outside_http;
pub(crate) mod patterns;
pub(crate) mod redirect;
pub(crate) mod routes;
pub(crate) mod running;
pub(crate) mod serving;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod signals;
pub(crate) mod stacks;
pub(crate) mod state;
pub(crate) mod terminations;
pub(crate) mod topics;
